import json
import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.noise import Camera, Correlated, Gaussian, Jpeg
from noisewise.restore.diagnose import diagnose


def picture(height: int = 256, width: int = 320) -> torch.Tensor:
    rng = np.random.default_rng(0)
    planes = np.stack([gaussian_filter(rng.normal(size=(height, width)), 20) for _ in range(3)])
    return torch.from_numpy(0.5 + 0.12 * planes / planes.std()).float().clamp(0.02, 0.98)


def corrupt(noise, image, seed=0):
    return noise(image[None], generator=make_generator(seed))[0]


def eight_bit(image):
    return image.clamp(0, 1).mul(255).round() / 255


def test_white_noise_in_an_eight_bit_file():
    found = diagnose(eight_bit(corrupt(Gaussian(15 / 255), picture())))
    assert found.is_white
    assert 255 * found.noise_level == pytest.approx(15, rel=0.05)
    assert found.bit_depth == 8
    assert not found.is_jpeg
    assert found.rows()[0] == ("Noise", f"sigma {255 * found.noise_level:.1f} of 255, white")


def test_correlated_noise_is_called_correlated_and_its_level_believed():
    found = diagnose(corrupt(Correlated(10 / 255, blur=1.0), picture()))
    assert not found.is_white
    assert 255 * found.noise_level == pytest.approx(10, rel=0.15)
    assert found.correlation > 0.5
    assert "correlated" in found.lines()[0]


def test_camera_noise_in_a_fine_jpeg_is_not_taken_for_white():
    saved = corrupt(Jpeg(92), corrupt(Camera(0.4 / 255, 0.4 / 255), picture()))
    found = diagnose(saved)
    assert not found.is_white
    assert found.noise_level == found.noise_level_correlated


def test_a_dark_sixteen_bit_file_is_judged_by_what_its_type_holds():
    ten_bits = (picture().movedim(0, -1).numpy() * 1023).round().astype(np.uint16)
    found = diagnose(ten_bits)
    assert found.clipped_high == 0
    assert found.bit_depth == 10
    shifted = diagnose(ten_bits * 64)
    assert shifted.bit_depth == 10


def test_levels_are_told_on_the_scale_that_was_asked_for():
    found = diagnose(corrupt(Gaussian(20 / 255), picture()))
    assert found.as_dict(scale=255)["noise_level"] == pytest.approx(255 * found.noise_level)
    assert found.as_dict(scale=255)["correlation"] == found.correlation


def test_a_clean_picture_is_clean():
    found = diagnose(picture())
    assert 255 * found.noise_level < 0.5
    assert found.bit_depth is None
    assert (found.clipped_low, found.clipped_high) == (0, 0)


def test_clipped_shares_are_counted():
    image = picture()
    image[:, :64] = 0
    image[:, :, :32] = 1
    found = diagnose(image)
    assert found.clipped_low == pytest.approx(64 * (320 - 32) / (256 * 320))
    assert found.clipped_high == pytest.approx(0.1)


def test_the_quality_of_a_jpeg_is_read_also_after_cropping():
    saved = corrupt(Jpeg(60), corrupt(Gaussian(8 / 255), picture()))
    assert diagnose(saved).jpeg_quality == pytest.approx(60, abs=1)
    assert diagnose(saved[:, 3:, 5:]).jpeg_quality == pytest.approx(60, abs=1)
    disturbed = saved + 4 / 255 * torch.randn(saved.shape, generator=make_generator(1))
    found = diagnose(disturbed)
    assert (found.is_jpeg, found.jpeg_quality) == (True, None)


def test_the_summary_is_json_and_reads_as_text():
    found = diagnose(picture())
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()
    assert {"noise_level", "is_white", "is_jpeg", "shot_gain"} <= found.as_dict().keys()
    assert [line.split(": ", 1) for line in found.lines()] == [list(row) for row in found.rows()]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from(["black", "grey", "white", "random", "binary"]),
)
def test_every_image_has_a_finite_diagnosis_without_a_warning(shape, kind):
    random = torch.rand(shape, generator=make_generator(0))
    images = {
        "black": torch.zeros(shape),
        "grey": torch.full(shape, 0.5),
        "white": torch.ones(shape),
        "random": random,
        "binary": random.round(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnose(images[kind])
    assert all(value is None or np.isfinite(value) for value in found.as_dict().values())
    assert -1 <= found.correlation <= 1
    if kind in ("black", "grey", "white"):
        assert found.noise_level < 1e-5
        assert not found.is_jpeg


def test_large_images_are_sampled_in_bounded_time():
    small = eight_bit(corrupt(Gaussian(20 / 255), picture(500, 500)))
    large = small.repeat(1, 8, 8)
    start = time.perf_counter()
    found = diagnose(large)
    assert time.perf_counter() - start < 3
    assert 255 * found.noise_level == pytest.approx(20, rel=0.05)
    assert 255 * found.noise_level_correlated == pytest.approx(20, rel=0.1)
    assert not found.is_jpeg  # the seams of the sample are no blocks


def test_one_image_may_come_with_a_batch_axis():
    assert diagnose(picture()[None]) == diagnose(picture())


def test_the_image_is_left_alone():
    image = picture()
    before = image.clone()
    diagnose(image)
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    "bad",
    [torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8).byte(), torch.zeros(8, 8), torch.zeros(3, 0, 8)],
)
def test_what_is_not_one_image_is_refused(bad):
    with pytest.raises(ArgumentError, match="one floating image"):
        diagnose(bad)


def test_pixels_that_are_not_finite_are_refused():
    with pytest.raises(ArgumentError, match="finite"):
        diagnose(torch.full((3, 16, 16), float("nan")))


def test_an_array_is_diagnosed_like_the_tensor_of_its_values():
    array = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    assert diagnose(array) == diagnose(torch.from_numpy(np.float32(array) / np.float32(255)).movedim(-1, 0))
