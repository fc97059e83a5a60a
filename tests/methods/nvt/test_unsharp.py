"""The unsharp mask against scikit-image, and its choice without a reference against the best with one."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
from skimage.filters import unsharp_mask

from noisewise._rng import make_generator
from noisewise.data import read_image
from noisewise.errors import ArgumentError
from noisewise.methods.nvt import UnsharpMask, choose_unsharp_mask
from noisewise.methods.nvt.unsharp import luma_detail
from noisewise.models.blocks import residual_stage
from noisewise.noise import Gaussian

SIGMA = 25 / 255


@pytest.fixture(scope="module")
def clean():
    pixels = read_image(files("noisewise.demo") / "assets/lighthouse.png").to_float()[100:292, 300:492]
    return torch.from_numpy(np.float32(pixels)).movedim(-1, 0)[None].double()


def soft(images):
    """A denoiser that takes away too much."""
    return images - 0.9 * luma_detail(images, 3.0)


def sharp(images):
    """A denoiser that takes away too little."""
    return images - 0.3 * luma_detail(images, 1.0)


@pytest.mark.parametrize("amount", [0.7, -0.4])
def test_a_grey_image_is_sharpened_as_scikit_image_does(clean, amount):
    grey = clean.mean(1, keepdim=True)
    expected = unsharp_mask(grey[0, 0].numpy(), radius=1.5, amount=amount)
    inner = (slice(8, -8), slice(8, -8))  # the two pad otherwise
    came = UnsharpMask(1.5, amount)(grey)[0, 0].clamp(0, 1).numpy()
    np.testing.assert_allclose(came[inner], expected[inner], atol=2e-3)


def test_a_flat_image_and_the_mean_of_any_stay_as_they_are(clean):
    flat = torch.full((1, 3, 20, 30), 0.4)
    torch.testing.assert_close(UnsharpMask(2.0, 5.0)(flat), flat)
    inside = UnsharpMask(1.0, 1.0)(clean)
    assert float((inside - clean).mean().abs()) < 1e-3


@pytest.mark.parametrize("denoise", [soft, sharp])
def test_the_choice_is_close_to_the_best_that_the_clean_image_shows(clean, denoise):
    noisy = Gaussian(SIGMA)(clean, generator=make_generator(0))
    choice = choose_unsharp_mask(noisy, denoise, SIGMA, widths=[1.0], generator=make_generator(1))
    denoised, detail = denoise(noisy), luma_detail(denoise(noisy), 1.0)
    best = -float(((denoised - clean) * detail).mean() / detail.square().mean())
    assert choice.mask.amount == pytest.approx(best, rel=0.05, abs=0.06)
    removed = (denoised - clean).square().mean() - (choice.mask(denoised) - clean).square().mean()
    assert choice.gain == pytest.approx(float(removed), rel=0.2)


def test_a_denoiser_that_leaves_noise_is_softened(clean):
    noisy = Gaussian(SIGMA)(clean, generator=make_generator(0))
    assert choose_unsharp_mask(noisy, lambda y: y, SIGMA, generator=make_generator(1)).mask.amount < -0.2


def test_a_network_in_single_precision_is_sharpened_no_worse_than_left_alone(clean):
    torch.manual_seed(0)
    network = residual_stage(3, 1).requires_grad_(False)
    noisy = Gaussian(SIGMA)(clean.float(), generator=make_generator(0))
    choice = choose_unsharp_mask(noisy, network, SIGMA, generator=make_generator(1))
    error = (network(noisy) - clean).square().mean()
    assert (choice.mask(network(noisy)) - clean).square().mean() <= error


@pytest.mark.parametrize("arguments", [{"sigma": 0.0}, {"sigma": float("nan")}, {"sigma": 0.1, "widths": []}])
def test_bad_input_is_refused(clean, arguments):
    with pytest.raises(ArgumentError):
        choose_unsharp_mask(clean, soft, **arguments, generator=make_generator(0))
    with pytest.raises(ArgumentError):
        UnsharpMask(0.0, 1.0)


def test_a_constant_image_has_nothing_to_sharpen():
    noisy = torch.full((1, 1, 16, 16), 0.5)
    assert choose_unsharp_mask(noisy, torch.zeros_like, 0.1, generator=make_generator(0)).gain == 0
