import os
import statistics
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.restoration import estimate_sigma

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure import noise_profile, white_noise_level
from noisewise.measure.noise_level import fit_variance_line
from noisewise.noise import Correlated, Gaussian, ShotRead


@pytest.fixture(scope="module")
def photographs() -> list[torch.Tensor]:
    """A few training photographs of BSDS500."""
    root = os.environ.get("NOISEWISE_DATA")
    if not root or not (Path(root) / "bsds500/train").is_dir():
        pytest.skip("set NOISEWISE_DATA to the folder with bsds500")
    files = sorted((Path(root) / "bsds500/train").glob("*.jpg"))[5::22]
    return [torch.from_numpy(np.array(Image.open(f))).movedim(-1, 0)[None].float() / 255 for f in files]


def smooth_picture(side: int = 256) -> torch.Tensor:
    rng = np.random.default_rng(0)
    channels = [gaussian_filter(rng.normal(size=(side, side)), 25) for _ in range(3)]
    picture = torch.from_numpy(np.stack(channels)).float()
    low, high = picture.amin((1, 2), keepdim=True), picture.amax((1, 2), keepdim=True)
    return (0.1 + 0.8 * (picture - low) / (high - low))[None]


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
def test_white_noise_on_photographs_is_measured_within_a_tenth(photographs, sigma):
    ratios = [
        white_noise_level(Gaussian(sigma / 255)(x, generator=make_generator(i))).item() * 255 / sigma
        for i, x in enumerate(photographs)
    ]
    assert statistics.median(ratios) == pytest.approx(1, abs=0.03)
    assert max(abs(r - 1) for r in ratios) < 0.15


@pytest.mark.parametrize("blur", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("sigma", [5, 20])
def test_correlated_noise_on_photographs_is_measured_within_a_quarter(photographs, sigma, blur):
    noise = Correlated(sigma / 255, blur=blur) if blur else Gaussian(sigma / 255)
    ratios = [
        noise_profile(noise(x, generator=make_generator(i))).level.item() * 255 / sigma
        for i, x in enumerate(photographs)
    ]
    assert statistics.median(ratios) == pytest.approx(1, abs=0.25)


def test_the_white_estimator_misses_correlated_noise_and_the_profile_does_not():
    noisy = Correlated(10 / 255, blur=1.0)(smooth_picture(), generator=make_generator(0))
    assert white_noise_level(noisy).item() * 255 < 2
    assert noise_profile(noisy).level.item() * 255 == pytest.approx(10, rel=0.1)


def test_on_smooth_pictures_it_agrees_with_the_wavelet_estimate_of_scikit_image():
    noisy = Gaussian(12 / 255)(smooth_picture(), generator=make_generator(1))
    expected = estimate_sigma(noisy[0].numpy(), average_sigmas=True, channel_axis=0)
    assert white_noise_level(noisy).item() == pytest.approx(expected, rel=0.03)
    assert noise_profile(noisy).level.item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("blur", [0.5, 0.7, 1.0])
def test_correlation_is_that_of_the_noise_itself(blur):
    clean = smooth_picture()
    noisy = Correlated(20 / 255, blur=blur)(clean, generator=make_generator(2))
    n = (noisy - clean).numpy()
    truth = np.corrcoef(n[..., 1:].ravel(), n[..., :-1].ravel())[0, 1]
    # 8 x 8 blocks see little of the slowest part of the noise
    assert noise_profile(noisy).correlation.item() == pytest.approx(truth, abs=0.12)


def test_correlation_of_white_noise_is_zero():
    noisy = Gaussian(20 / 255)(smooth_picture(), generator=make_generator(3))
    assert noise_profile(noisy).correlation.item() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(("gain", "read"), [(0.01, 0.0), (0.004, 0.03), (0.0, 0.05)])
def test_shot_and_read_noise_are_told_apart(gain, read):
    noisy = ShotRead(gain=gain, sigma=read)(smooth_picture(384), generator=make_generator(4))
    profile = noise_profile(noisy)
    assert profile.gain.item() == pytest.approx(gain, abs=0.15 * gain + 0.0006)
    assert profile.read.item() == pytest.approx(read, abs=0.1 * read + 0.015)


def test_the_line_of_exact_points_is_exact_and_ignores_points_above_it():
    means = torch.linspace(0.1, 0.9, 10)
    variances = 0.002 + 0.01 * means
    intercept, slope, weights = fit_variance_line(means, variances)
    assert (intercept.item(), slope.item()) == pytest.approx((0.002, 0.01), rel=1e-3)
    assert weights.sum().item() == pytest.approx(1)
    variances[[2, 5, 8]] *= 4
    intercept, slope, weights = fit_variance_line(means, variances)
    assert (intercept.item(), slope.item()) == pytest.approx((0.002, 0.01), rel=0.05)


def test_clean_pictures_have_next_to_no_noise():
    picture = smooth_picture()
    assert white_noise_level(picture).item() * 255 < 0.1
    assert noise_profile(picture).level.item() * 255 < 0.5


def test_the_noise_of_eight_bits_is_that_of_rounding():
    rounded = (smooth_picture() * 255).round() / 255
    assert white_noise_level(rounded).item() * 255 < 0.5
    assert noise_profile(rounded).level.item() * 255 < 0.5


def test_black_borders_do_not_hide_the_noise():
    noisy = Gaussian(20 / 255)(smooth_picture(), generator=make_generator(5))
    framed = torch.nn.functional.pad(noisy.clamp(1e-3, 1 - 1e-3), (80, 80, 80, 80))
    assert white_noise_level(framed).item() * 255 == pytest.approx(20, rel=0.08)
    assert noise_profile(framed).level.item() * 255 == pytest.approx(20, rel=0.08)


def test_each_image_of_a_batch_is_measured_by_itself():
    picture = smooth_picture(128)
    batch = torch.cat([Gaussian(s / 255)(picture, generator=make_generator(6)) for s in (5, 40)])
    one_by_one = torch.cat([white_noise_level(batch[:1]), white_noise_level(batch[1:])])
    assert torch.equal(white_noise_level(batch), one_by_one)
    assert noise_profile(batch).level[1] == noise_profile(batch[1:]).level[0]


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 1, 7, 40), (2, 1, 8, 8), (1, 3, 64, 64), (1, 4, 300, 3)])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant_and_tiny_images_have_no_noise_and_no_nan(shape, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimates = [white_noise_level(torch.full(shape, value)), *noise_profile(torch.full(shape, value))]
    for estimate in estimates:
        assert estimate.shape == shape[:1]
        np.testing.assert_allclose(estimate, 0, atol=1e-3)


@pytest.mark.parametrize("bad", [torch.zeros(3, 9, 9), torch.zeros(1, 3, 9, 9).byte(), torch.zeros(1, 3, 0, 9)])
@pytest.mark.parametrize("estimator", [white_noise_level, noise_profile])
def test_what_is_no_batch_of_images_is_refused(estimator, bad):
    with pytest.raises(ArgumentError, match="B x C x H x W"):
        estimator(bad)
