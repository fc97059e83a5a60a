"""The mean of clipped noise, and its inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from noisewise.restore.unclip import clipped_mean, unclip

levels = st.floats(1 / 255, 1.0)


def integrated(x: float, sigma: float) -> float:
    """E[clip(x + sigma n)] by quadrature: the linear part between the two clips, and the upper clip."""
    noise = stats.norm(x, sigma)
    inside, _ = integrate.quad(lambda t: t * noise.pdf(t), 0, 1, points=[min(max(x, 0), 1)], epsabs=1e-12, limit=200)
    return inside + noise.sf(1)


@pytest.mark.parametrize("sigma", [2 / 255, 25 / 255, 0.5])
@pytest.mark.parametrize("x", [-0.1, 0.0, 0.03, 0.5, 0.98, 1.0, 1.2])
def test_the_clipped_mean_is_the_integral(x, sigma):
    mean = clipped_mean(torch.tensor(x, dtype=torch.float64), sigma).item()
    assert mean == pytest.approx(integrated(x, sigma), abs=1e-9)


def test_the_clipped_mean_is_what_clipping_does_to_samples():
    x = torch.tensor([0.0, 0.05, 0.5, 0.97], dtype=torch.float64)
    noise = 0.1 * np.random.default_rng(0).standard_normal((400_000, 1))
    drawn = (x.numpy() + noise).clip(0, 1).mean(0)
    np.testing.assert_allclose(clipped_mean(x, 0.1).numpy(), drawn, atol=5 * 0.1 / 400_000**0.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), levels)
def test_unclipping_undoes_clipping(values, sigma):
    x = torch.tensor(values, dtype=torch.float64)
    torch.testing.assert_close(unclip(clipped_mean(x, sigma), sigma), x, atol=1e-5, rtol=0)


@given(st.floats(0, 1), st.floats(0, 1), levels)
def test_unclipping_keeps_the_order(a, b, sigma):
    low, high = unclip(torch.tensor(sorted((a, b)), dtype=torch.float64), sigma).tolist()
    assert low <= high


@given(st.floats(-0.5, 1.5), levels)
def test_unclipped_values_are_displayable(value, sigma):
    assert 0 <= unclip(torch.tensor(value), sigma).item() <= 1


def test_far_from_the_clips_nothing_changes():
    x = torch.linspace(0.3, 0.7, 9)
    torch.testing.assert_close(unclip(x, 0.03), x, atol=1e-6, rtol=0)


def test_no_noise_is_the_identity_and_type_and_shape_are_kept():
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unclip(x, 0), x)
    half = unclip(x.half(), 0.1)
    assert (half.shape, half.dtype) == (x.shape, torch.float16)


def test_shadows_get_darker_and_lights_lighter():
    mean = torch.tensor([0.06, 0.94])
    shadow, light = unclip(mean, 0.1).tolist()
    assert shadow < 0.06
    assert light > 0.94
