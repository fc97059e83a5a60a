"""Undo what clipping does to a mean: an 8-bit file keeps ``clip(x + n)``, whose expectation near black is not x.

A denoiser that estimates ``E[clip(x + n)]`` washes shadows and lights out. This inverts that expectation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["clipped_mean", "unclip"]

_KNOTS = 2049
_REACH = 3.0


def clipped_mean(x: Tensor, sigma: float) -> Tensor:
    """``m(x) = E[clip(x + sigma n, 0, 1)]`` for standard normal n.

    With ``g(t) = t Phi(t) + phi(t)``, the mean of a rectified normal, ``m(x) = sigma (g(x/sigma) - g((x-1)/sigma))``
    (Foi, Clipped noisy images, Signal Processing 2009).
    """

    def rectified(t: Tensor) -> Tensor:
        density = torch.exp(-0.5 * t.square()) / math.sqrt(2 * math.pi)
        cumulative: Tensor = torch.special.ndtr(t)
        return t * cumulative + density

    return sigma * (rectified(x / sigma) - rectified((x - 1) / sigma))


def unclip(mean: Tensor, sigma: float) -> Tensor:
    """The x whose clipped mean is ``mean``; the inverse of :func:`clipped_mean`, itself clipped to [0, 1].

    Args:
        mean: estimates of ``E[clip(x + n)]``, any shape, [0, 1] scale.
        sigma: standard deviation of the noise before clipping, same scale; 0 returns ``mean`` as it is.
    """
    if sigma == 0:
        return mean
    # m is smooth and increasing, so that linear interpolation of a fine table inverts it to about 1e-6.
    knots = torch.linspace(-_REACH * sigma, 1 + _REACH * sigma, _KNOTS, dtype=torch.float64)
    values = clipped_mean(knots, sigma)
    at = mean.detach().cpu().double().contiguous()
    right = torch.searchsorted(values, at).clamp(1, _KNOTS - 1)
    fraction = (at - values[right - 1]) / (values[right] - values[right - 1]).clamp_min(1e-12)
    return torch.lerp(knots[right - 1], knots[right], fraction.clamp(0, 1)).clamp(0, 1).to(mean)
