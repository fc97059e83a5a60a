"""Told the level of the diagnosis, the network removes smooth noise of grey images, too."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from noisewise import denoise
from noisewise.errors import ArgumentError
from noisewise.restore.level import is_missed

SIGMA = 25 / 255


@pytest.fixture(scope="module")
def clean():
    with as_file(files("noisewise.demo") / "assets" / "lighthouse.png") as path:
        return np.asarray(Image.open(path).convert("L"))[100:300, 100:300]


@pytest.fixture(scope="module")
def noisy(clean):
    grain = gaussian_filter(np.random.default_rng(0).normal(size=clean.shape), 0.8)
    return (255 * (clean / 255 + SIGMA * grain / grain.std()).clip(0, 1)).round().astype(np.uint8)


def test_smooth_noise_of_a_grey_image_is_removed(clean, noisy):
    own, diagnosed, told = (denoise(noisy, sigma=sigma) for sigma in (None, "diagnosed", SIGMA))
    assert diagnosed.sigma == diagnosed.diagnosis.noise_level == pytest.approx(SIGMA, rel=0.25)
    assert is_missed(own.diagnosis.noise_level, own.sigma)
    scores = [peak_signal_noise_ratio(clean, one.image) for one in (own, diagnosed, told)]
    assert scores[1] > scores[0] + 2
    assert scores[1] == pytest.approx(scores[2], abs=0.3)


def test_it_is_as_if_that_number_were_told(clean):
    diagnosed = denoise(clean, sigma="diagnosed")
    assert np.array_equal(diagnosed.image, denoise(clean, sigma=diagnosed.diagnosis.noise_level).image)


def test_every_image_of_a_batch_has_its_own(clean, noisy):
    batch = np.stack([clean, noisy])[:, None].astype(np.float32) / 255
    quiet, loud = denoise(torch.from_numpy(batch), sigma="diagnosed").sigmas
    assert loud > 2 * quiet


def test_another_word_is_refused(clean):
    with pytest.raises(ArgumentError, match="a number, None or 'diagnosed', got 'auto'"):
        denoise(clean, sigma="auto")


@pytest.mark.parametrize(
    ("seen", "found", "expected"), [(11, 5, True), (11, 6, False), (9, 1, False), (40, 20, True), (0, 0, False)]
)
def test_what_counts_as_missed(seen, found, expected):
    assert is_missed(seen / 255, found / 255) is expected
