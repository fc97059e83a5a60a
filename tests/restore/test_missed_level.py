"""Strong correlated noise in grey images, which the network takes for texture."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from noisewise import denoise
from noisewise.models import load_denoiser

SIGMA = 25 / 255


@pytest.fixture(scope="module")
def clean():
    with as_file(files("noisewise.demo") / "assets" / "lighthouse.png") as path:
        return np.asarray(Image.open(path).convert("L"))[100:300, 100:300]


@pytest.fixture(scope="module")
def noisy(clean):
    grain = gaussian_filter(np.random.default_rng(0).normal(size=clean.shape), 0.8)
    return (255 * (clean / 255 + SIGMA * grain / grain.std()).clip(0, 1)).round().astype(np.uint8)


def test_it_is_found_and_removed(clean, noisy):
    found, own = denoise(noisy), denoise(noisy, model=load_denoiser())
    assert found.sigma == pytest.approx(SIGMA, rel=0.25)
    assert found.sigma == found.diagnosis.noise_level_correlated
    assert own.sigma < SIGMA / 2
    scores = [peak_signal_noise_ratio(clean, one.image) for one in (own, found, denoise(noisy, sigma=SIGMA))]
    assert scores[1] > scores[0] + 2
    assert scores[1] == pytest.approx(scores[2], abs=0.3)


def test_a_colour_file_of_a_grey_image_is_no_other(noisy):
    coloured = denoise(np.stack([noisy] * 3, axis=-1))
    assert np.abs(coloured.image.mean(-1) - denoise(noisy).image).max() <= 1


def test_the_networks_level_is_believed_of_clean_and_of_white_noise(clean):
    white = (clean / 255 + np.random.default_rng(0).normal(0, SIGMA, clean.shape)).astype(np.float32)
    for image in (clean, white):
        found, own = denoise(image), denoise(image, model=load_denoiser())
        assert found.sigma == pytest.approx(own.sigma, rel=0.01)
        assert np.allclose(found.image, own.image, atol=1 if image is clean else 0.01)
