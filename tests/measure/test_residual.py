import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from noisewise.errors import ArgumentError
from noisewise.measure import (
    autocorrelation,
    lag1_correlation,
    magnitude_correlation,
    signal_correlation,
    whiteness,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blurred(side: int, blur: float, seed: int = 0) -> torch.Tensor:
    field = np.random.default_rng(seed).normal(size=(side, side))
    return torch.from_numpy(gaussian_filter(field, blur, mode="wrap")).float()[None, None]


def test_autocorrelation_is_its_definition():
    residual = noise(2, 3, 9, 11).double()
    centred = (residual - residual.mean((2, 3), keepdim=True)).numpy()
    expected = np.empty((2, 5, 5))
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            a = centred[:, :, max(0, -dy) : 9 - max(0, dy), max(0, -dx) : 11 - max(0, dx)]
            b = centred[:, :, max(0, dy) : 9 + min(0, dy), max(0, dx) : 11 + min(0, dx)]
            expected[:, dy + 2, dx + 2] = (a * b).mean((2, 3)).sum(1)
    expected /= expected[:, 2:3, 2:3].copy()
    np.testing.assert_allclose(autocorrelation(residual, max_lag=2), expected, atol=1e-5)


def test_blurred_noise_has_the_gaussian_autocorrelation_of_its_kernel():
    lags = torch.arange(-4, 5)
    theory = torch.exp(-(lags[:, None] ** 2 + lags**2) / (4 * 1.2**2))
    np.testing.assert_allclose(autocorrelation(blurred(512, 1.2), max_lag=4)[0], theory, atol=0.03)


def test_lag1_of_a_moving_average_in_closed_form():
    field = noise(1, 1, 400, 401)
    moved = field[..., 1:] + field[..., :-1]  # horizontal neighbours correlate by 1/2, vertical ones not at all
    assert lag1_correlation(moved).item() == pytest.approx(0.25, abs=0.01)


def test_whiteness_is_one_for_white_noise_and_known_for_blurred_noise():
    assert whiteness(noise(1, 3, 200, 200)).item() > 0.99
    assert whiteness(blurred(600, 1.0)).item() == pytest.approx(1 / (2 * math.pi), rel=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_scale_and_offset_change_nothing_and_whiteness_stays_a_share(seed, scale, offset):
    residual = noise(1, 2, 12, 13, seed=seed).cumsum(-1)
    value = whiteness(residual)
    assert 0 < value.item() <= 1
    np.testing.assert_allclose(whiteness(residual * scale + offset * scale), value, rtol=1e-2)


def test_a_constant_residual_counts_as_white():
    assert whiteness(torch.full((2, 3, 16, 16), 0.3)).tolist() == [1.0, 1.0]
    assert lag1_correlation(torch.zeros(1, 1, 4, 4)).item() == 0


def test_signal_correlation_is_that_of_numpy():
    residual, image = noise(3, 2, 8, 9), noise(3, 2, 8, 9, seed=1)
    residual = residual + 0.5 * image
    expected = [
        np.corrcoef(r.flatten(), i.flatten())[0, 1] for r, i in zip(residual.numpy(), image.numpy(), strict=True)
    ]
    np.testing.assert_allclose(signal_correlation(residual, image), expected, rtol=1e-5)
    assert signal_correlation(residual, torch.full_like(image, 0.7)).tolist() == [0, 0, 0]


def test_shot_noise_shows_in_the_magnitude_and_not_in_the_residual():
    image = torch.rand(1, 1, 300, 300, generator=torch.Generator().manual_seed(2))
    shot = image.sqrt() * noise(1, 1, 300, 300)
    assert abs(signal_correlation(shot, image).item()) < 0.02
    assert magnitude_correlation(shot, image).item() > 0.2
    assert abs(magnitude_correlation(noise(1, 1, 300, 300), image).item()) < 0.02


def test_what_has_no_such_lag_or_shape_is_refused():
    with pytest.raises(ArgumentError, match="smaller max_lag"):
        autocorrelation(noise(1, 1, 8, 20))
    with pytest.raises(ArgumentError, match="batch axis"):
        autocorrelation(noise(3, 20, 20))
    with pytest.raises(ArgumentError, match="same shape"):
        signal_correlation(noise(1, 1, 8, 8), noise(1, 1, 8, 9))
