"""JPEG grid, JPEG quality and bit depth, against files written and described by Pillow."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from noisewise.measure import bit_depth, jpeg_grid, jpeg_quality
from noisewise.measure.jpeg import luminance_table


def scene(side: int = 256, seed: int = 0) -> np.ndarray:
    """A picture with a spectrum like that of photographs, ``side x side x 3`` bytes."""
    rng = np.random.default_rng(seed)
    octaves = [2**k * np.stack([gaussian_filter(rng.normal(size=(side, side)), 2**k)] * 3, -1) for k in range(6)]
    colour = np.stack([gaussian_filter(rng.normal(size=(side, side)), 20) for _ in range(3)], -1)
    return np.clip(128 + 25 * sum(octaves) + 200 * colour, 1, 254).astype(np.uint8)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.atleast_3d(pixels).copy()).movedim(-1, 0).float() / 255


def jpeg(pixels: np.ndarray, quality: int) -> tuple[np.ndarray, list[int]]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    opened = Image.open(buffer)
    return np.asarray(opened), opened.quantization[0]


@pytest.mark.parametrize("quality", [1, 25, 49, 50, 75, 92, 100])
def test_the_quantisation_table_is_the_one_that_libjpeg_writes(quality):
    _, written = jpeg(scene(16), quality)
    assert luminance_table(quality).int().flatten().tolist() == list(written)


@pytest.mark.parametrize("quality", [20, 30, 60, 75, 85, 90, 95])
@pytest.mark.parametrize("grey", [False, True])
def test_quality_is_read_from_the_pixels(quality, grey):
    pixels = scene()[..., 0] if grey else scene()
    assert jpeg_quality(tensor(jpeg(pixels, quality)[0])) == pytest.approx(quality, abs=1)


def test_no_quality_where_there_was_no_jpeg_or_it_was_disturbed():
    assert jpeg_quality(tensor(scene())) is None
    decoded = tensor(jpeg(scene(), 75)[0])
    assert jpeg_quality(decoded + 5 / 255 * torch.randn(decoded.shape, generator=torch.manual_seed(0))) is None
    gradient = torch.linspace(0.1, 0.9, 512).mul(255).round().div(255)
    assert jpeg_quality(gradient.repeat(3, 512, 1)) is None


@pytest.mark.parametrize("quality", [30, 60, 75])
def test_the_grid_of_a_cropped_jpeg_is_found(quality):
    cropped = tensor(jpeg(scene(), quality)[0])[:, 3:, 5:]
    grid = jpeg_grid(cropped)
    assert (grid.row, grid.column) == (5, 3)
    assert grid.contrast > 0.05
    assert jpeg_quality(cropped) is None
    assert jpeg_quality(cropped, row=grid.row, column=grid.column) == pytest.approx(quality, abs=1)


def test_pictures_without_blocks_have_no_grid():
    assert all(jpeg_grid(tensor(scene(seed=s))).contrast < 0.05 for s in range(3))
    assert jpeg_grid(torch.full((3, 64, 64), 0.4)).contrast == 0
    assert jpeg_grid(torch.rand(1, 15, 400)).contrast == 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_bit_depth_is_that_of_the_quantiser(bits):
    steps = 2**bits - 1
    values = np.random.default_rng(bits).integers(0, steps + 1, (3, 200, 200))
    assert bit_depth(torch.from_numpy((values / steps).astype(np.float32))) == bits


def test_eight_bits_in_sixteen_are_eight_and_shifted_words_are_seen():
    byte = np.random.default_rng(0).integers(0, 256, (1, 200, 200))
    assert bit_depth(torch.from_numpy((byte * 257 / 65535).astype(np.float32))) == 8
    ten = np.random.default_rng(1).integers(0, 1024, (1, 200, 200))
    assert bit_depth(torch.from_numpy(((ten << 6) / 65535).astype(np.float32))) == 10


def test_a_tone_curve_on_bytes_does_not_add_bits():
    byte = np.random.default_rng(2).integers(0, 256, (3, 300, 300))
    curved = np.round((byte / 255) ** 0.45 * 65535) / 65535
    assert bit_depth(torch.from_numpy(curved.astype(np.float32))) == 8


def test_continuous_data_have_no_bit_depth():
    assert bit_depth(torch.rand(3, 100, 100, generator=torch.manual_seed(0))) is None


def test_dark_sixteen_bit_data_are_not_taken_for_one_bit():
    dark = np.random.default_rng(3).integers(0, 700, (1, 100, 100))
    assert bit_depth(torch.from_numpy((dark / 65535).astype(np.float32))) == 16
