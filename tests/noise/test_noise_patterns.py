"""Noises with structure in space: correlation, stripes, a bias of colour."""

from __future__ import annotations

import math

import pytest
import torch

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.noise import ColorBias, ColumnBanding, Correlated, RowBanding
from noisewise.noise import functional as N


def residual(noise, shape):
    return noise(torch.zeros(shape), generator=make_generator(0))


def correlation(field, down, right):
    """Of pixels ``down`` and ``right`` apart, for a field of zero mean."""
    height, width = field.shape[-2:]
    here, there = field[..., : height - down, : width - right], field[..., down:, right:]
    return float((here * there).mean() / field.square().mean())


@pytest.mark.parametrize("blur", [0.8, 1.5, 3.0])
@pytest.mark.parametrize("offset", [(0, 1), (1, 0), (1, 1), (2, 1), (0, 4)])
def test_correlated_noise_has_the_autocorrelation_of_a_gaussian_filter(blur, offset):
    field = residual(Correlated(0.1, blur), (4, 3, 150, 150))
    assert correlation(field, *offset) == pytest.approx(
        math.exp(-(math.hypot(*offset) ** 2) / (4 * blur**2)), abs=0.025
    )


def test_correlated_noise_is_white_across_channels_and_without_blur():
    field = residual(Correlated(0.1, 1.0), (1, 2, 200, 200))
    assert float((field[:, 0] * field[:, 1]).mean() / field.square().mean()) == pytest.approx(0, abs=0.05)
    assert correlation(residual(Correlated(0.1, 0.0), (1, 1, 200, 200)), 0, 1) == pytest.approx(0, abs=0.025)


def test_correlated_noise_is_as_strong_at_the_border_as_inside():
    field = residual(Correlated(0.1, 2.0), (1000, 1, 9, 9))
    assert torch.allclose(field.std(0), torch.tensor(0.1), rtol=0.12)


@pytest.mark.parametrize(("noise", "along", "across"), [(RowBanding(0.1), -1, -2), (ColumnBanding(0.1), -2, -1)])
def test_banding_is_constant_along_a_line_and_in_all_channels(noise, along, across):
    field = residual(noise, (2, 3, 40, 50))
    assert torch.equal(field, field.select(along, 0).unsqueeze(along).expand_as(field))
    assert torch.equal(field[:, :1].expand_as(field), field)
    assert field.select(along, 0).std() == pytest.approx(0.1, rel=0.2)
    assert len(field[0, 0].select(along, 0).unique()) == field.shape[across]


def test_color_bias_is_one_offset_for_each_channel_of_each_image():
    field = residual(ColorBias(0.1), (50, 3, 4, 5))
    assert torch.equal(field, field[..., :1, :1].expand_as(field))
    assert len(field.unique()) == 150
    assert field[..., 0, 0].std() == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("blur", [0.3, 1.0, 2.7])
def test_gaussian_kernel_is_a_normalised_symmetric_gaussian(blur):
    kernel = N.gaussian_kernel(blur, torch.zeros((), dtype=torch.float64))
    assert kernel.sum() == pytest.approx(1)
    assert torch.allclose(kernel, kernel.flip(0))
    centre = len(kernel) // 2
    assert centre >= 3 * blur
    assert kernel[centre + 1] / kernel[centre] == pytest.approx(math.exp(-0.5 / blur**2))


def test_a_negative_blur_is_refused():
    with pytest.raises(ArgumentError, match="blur >= 0"):
        Correlated(blur=-1.0)
