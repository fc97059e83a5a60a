"""What a denoiser removed: is the residual ``R = noisy - denoised`` noise, or does it hold a part of the picture?

Removed white noise leaves a flat autocorrelation and no dependence on the picture; removed detail shows in both.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from noisewise.contracts import Images
from noisewise.errors import ArgumentError

__all__ = ["autocorrelation", "lag1_correlation", "magnitude_correlation", "signal_correlation", "whiteness"]


def autocorrelation(residual: Images, *, max_lag: int = 8) -> Float[Tensor, "batch rows columns"]:
    r"""Normalised sample autocorrelation of each residual, the mean of its channels, by FFT (Wiener-Khinchin).

    ``rho(d) = [sum_p r(p) r(p + d) / n(d)] / [sum_p r(p)^2 / n(0)]``, r the residual less the mean of its channel and
    n(d) the number of pixel pairs d apart. A constant residual counts as white: 1 at the origin, 0 elsewhere.

    Args:
        residual: ``B x C x H x W``, floating; H and W above ``max_lag``.
        max_lag: the largest lag on each axis, in pixels.

    Returns:
        ``B x (2 max_lag + 1) x (2 max_lag + 1)``, the origin (always 1) in the middle.

    Raises:
        ArgumentError: not a batch, or ``max_lag`` reaches across the image.
    """
    _require_lags(residual, max_lag)
    height, width = residual.shape[-2:]
    lags = torch.arange(-max_lag, max_lag + 1, device=residual.device)
    sums = _lagged_products(residual, (height + max_lag, width + max_lag))[..., lags[:, None], lags].sum(1)
    pairs = (height - lags.abs())[:, None] * (width - lags.abs())
    covariance = sums / pairs
    variance = covariance[:, max_lag, max_lag].clone()
    # below: rounding errors of the mean and of the FFT, not a residual
    scale = residual.float().square().mean((1, 2, 3)).mul(residual.shape[1] * torch.finfo(torch.float32).eps)
    correlation = covariance / variance.clamp_min(torch.finfo(covariance.dtype).tiny)[:, None, None]
    correlation = torch.where((variance > scale)[:, None, None], correlation, torch.zeros_like(correlation))
    correlation[:, max_lag, max_lag] = 1
    return correlation


def lag1_correlation(residual: Images) -> Float[Tensor, " batch"]:
    """Correlation of neighbouring pixels: the mean of rho(0, 1) and rho(1, 0), in [-1, 1]; 0 for white noise."""
    correlation = autocorrelation(residual, max_lag=1)
    return (correlation[:, 1, 2] + correlation[:, 2, 1]) / 2


def whiteness(residual: Images, *, max_lag: int = 4) -> Float[Tensor, " batch"]:
    """How white each residual is: ``1 / sum rho(d)^2`` over ``|d| <= max_lag`` on both axes, in (0, 1].

    By Parseval's theorem the sum is the mean square of the power spectrum over its squared mean, so that 1 is a flat
    spectrum; noise blurred by a Gaussian of b pixels has ``1 / (2 pi b^2)`` for b above about 0.7.

    Args:
        residual: ``B x C x H x W``, floating; H and W above ``max_lag``.
        max_lag: the largest lag on each axis, in pixels.

    Raises:
        ArgumentError: as for :func:`autocorrelation`.
    """
    return 1 / autocorrelation(residual, max_lag=max_lag).square().sum((1, 2))


def signal_correlation(residual: Images, denoised: Images) -> Float[Tensor, " batch"]:
    """Pearson correlation of residual and denoised pixels, in [-1, 1]; not near 0 if picture was removed or clipped.

    Args:
        residual: ``B x C x H x W``, noisy less denoised.
        denoised: the same shape.

    Returns:
        One value per image; 0 where one of the two is constant.

    Raises:
        ArgumentError: the shapes differ.
    """
    if residual.shape != denoised.shape:
        raise ArgumentError(
            f"expected a residual and an image of the same shape, got {tuple(residual.shape)} and "
            f"{tuple(denoised.shape)}; pass noisy - denoised and denoised"
        )
    a, b = _centred(residual), _centred(denoised)
    norms = a.square().sum(1).sqrt() * b.square().sum(1).sqrt()
    correlation: Tensor = torch.nan_to_num((a * b).sum(1) / norms, nan=0.0)
    return correlation.clamp(-1, 1).to(residual)


def magnitude_correlation(residual: Images, denoised: Images) -> Float[Tensor, " batch"]:
    """Pearson correlation of ``|R|`` and the denoised pixels: positive if the noise grows with the light.

    Arguments, result and errors are those of :func:`signal_correlation`.
    """
    return signal_correlation(residual.abs(), denoised)


def _lagged_products(residual: Tensor, padded: tuple[int, int]) -> Tensor:
    centred = (residual - residual.mean((2, 3), keepdim=True)).float()
    power = torch.fft.rfft2(centred, s=padded).abs().square()
    products: Tensor = torch.fft.irfft2(power, s=padded)
    return products


def _centred(images: Tensor) -> Tensor:
    flat = images.flatten(1).double()
    centred = flat - flat.mean(1, keepdim=True)
    negligible = centred.abs().amax(1, keepdim=True) <= 1e-7 * flat.abs().amax(1, keepdim=True)
    return centred.masked_fill(negligible, 0)


def _require_lags(residual: Tensor, max_lag: int) -> None:
    if residual.ndim != 4 or not residual.is_floating_point():
        raise ArgumentError(
            f"expected a floating tensor B x C x H x W, got {tuple(residual.shape)} of {residual.dtype}; "
            "add the batch axis with image[None]"
        )
    if not 0 <= max_lag < min(residual.shape[-2:]):
        raise ArgumentError(
            f"expected a lag from 0 to {min(residual.shape[-2:]) - 1} for an image of {tuple(residual.shape[-2:])}, "
            f"got {max_lag}; choose a smaller max_lag"
        )
