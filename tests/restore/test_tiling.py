"""A large image is denoised in tiles, and nobody can tell."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import noisewise
from noisewise.restore import denoise as module
from noisewise.restore.tiling import tiles

sides = st.integers(1, 70)


@given(sides, sides, st.integers(1, 40), st.integers(0, 20))
def test_cores_cover_the_image_exactly_once(height, width, core, halo):
    covered = np.zeros((height, width), int)
    for tile in tiles(height, width, core, halo):
        covered[tile.write] += 1
    assert (covered == 1).all()


@given(sides, sides, st.integers(1, 40), st.integers(0, 20))
def test_what_is_kept_of_a_tile_is_its_core(height, width, core, halo):
    image = np.arange(height * width).reshape(height, width)
    for tile in tiles(height, width, core, halo):
        np.testing.assert_array_equal(image[tile.read][tile.keep], image[tile.write])


@given(sides, sides, st.integers(1, 40), st.integers(0, 20))
def test_a_halo_surrounds_every_core_as_far_as_the_image_goes(height, width, core, halo):
    for tile in tiles(height, width, core, halo):
        for read, write, side in zip(tile.read, tile.write, (height, width), strict=True):
            assert read.start == max(0, write.start - halo)
            assert read.stop == min(side, write.stop + halo)
            assert write.stop - write.start <= core


def textured(side: int) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    waves = 0.5 + 0.3 * np.sin(rows / 5) * np.cos(columns / 9)
    return waves[..., None] + np.random.default_rng(0).normal(0, 0.08, (side, side, 3))


@pytest.mark.parametrize("sigma", [None, 0.08])
def test_tiles_leave_no_seams(sigma, monkeypatch):
    image = textured(168)
    whole = noisewise.denoise(image, sigma)
    monkeypatch.setattr(module, "_CORE", 96)
    tiled = noisewise.denoise(image, sigma)
    assert np.abs(tiled.image - whole.image).max() < 1 / 255
    assert tiled.sigma == pytest.approx(whole.sigma, rel=0.1)


def test_a_halo_too_narrow_would_be_noticed(monkeypatch):
    image = textured(168)
    whole = noisewise.denoise(image, 0.08)
    monkeypatch.setattr(module, "_CORE", 96)
    monkeypatch.setattr(module, "_HALO", 0)
    assert np.abs(noisewise.denoise(image, 0.08).image - whole.image).max() > 1 / 255


MEMORY = """
import resource, numpy as np, torch
from noisewise import denoise
from noisewise.models import BlindDenoiser
model = BlindDenoiser(widths=(8, 8), blocks=(1, 1), estimator_width=8).eval()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
image = np.random.default_rng(0).integers(0, 256, (5000, 5000, 3), dtype=np.uint8)
denoise(image[:1200, :1200], model=model)
before = peak()
denoise(image, model=model)
print((peak() - before) / (5000 * 5000))
"""


@pytest.mark.slow
def test_memory_hardly_grows_with_the_image():
    ran = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    # The shipped network's first layer alone holds 64 bytes a pixel, and several layers are alive at once.
    assert float(ran.stdout) < 32
