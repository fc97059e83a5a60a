import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from noisewise.errors import ArgumentError
from noisewise.measure import psnr, ssim


def batch(channels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(3, channels, 6, 7, generator=generator)
    truth = torch.nn.functional.interpolate(coarse, size=(40, 53), mode="bicubic").clamp(0, 1)
    levels = torch.tensor([0.02, 0.1, 0.3]).view(3, 1, 1, 1)
    return truth + levels * torch.randn(truth.shape, generator=generator), truth


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("clip", [True, False])
def test_psnr_is_that_of_scikit_image_for_each_image(channels, clip):
    estimate, truth = batch(channels)
    shown = estimate.clamp(0, 1) if clip else estimate
    expected = [
        peak_signal_noise_ratio(t.numpy(), e.numpy(), data_range=1.0) for e, t in zip(shown, truth, strict=True)
    ]
    np.testing.assert_allclose(psnr(estimate, truth, clip=clip), expected, rtol=1e-5)


def test_psnr_of_a_constant_error_in_closed_form():
    truth = torch.full((2, 3, 5, 5), 0.5)
    np.testing.assert_allclose(psnr(truth + 0.1, truth), 20.0, atol=1e-4)
    assert psnr(truth, truth).tolist() == [math.inf, math.inf]


def test_psnr_clips_unless_told_otherwise():
    truth = torch.ones(1, 1, 4, 4)
    assert psnr(truth + 1, truth).item() == math.inf
    assert psnr(truth + 1, truth, clip=False).item() == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_that_of_scikit_image_for_each_image(channels):
    estimate, truth = batch(channels)
    expected = [
        structural_similarity(
            t.numpy(),
            e.clamp(0, 1).numpy(),
            data_range=1.0,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for e, t in zip(estimate, truth, strict=True)
    ]
    np.testing.assert_allclose(ssim(estimate, truth), expected, atol=1e-3)


def test_ssim_of_one_image_keeps_the_batch_axis():
    _, truth = batch(3)
    assert ssim(truth[:1], truth[:1]).tolist() == pytest.approx([1.0])


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_images_of_different_shapes_are_refused(measure):
    with pytest.raises(ArgumentError, match="same shape"):
        measure(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17))
    with pytest.raises(ArgumentError, match="batch axis"):
        measure(torch.zeros(3, 16, 16), torch.zeros(3, 16, 16))


def test_ssim_says_that_an_image_is_smaller_than_its_window():
    with pytest.raises(ArgumentError, match="11 x 11"):
        ssim(torch.zeros(1, 1, 10, 20), torch.zeros(1, 1, 10, 20))
