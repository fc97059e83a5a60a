"""The mathematics of noise: pure functions of a clean batch ``B x C x H x W`` and a generator.

``sigma`` is a standard deviation on the scale of the images (``25 / 255`` for the usual 25), ``x`` the clean batch,
``y`` the result. Nothing is clipped. Source of the pool: Noisy Visual Training, sections 7.6 and 8.4.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "add_banding",
    "add_color_bias",
    "add_correlated",
    "add_gaussian",
    "add_quantisation",
    "gaussian_kernel",
    "read_tails",
    "round_to_8_bits",
    "salt_and_pepper",
    "shot",
    "speckle",
    "standard_normal",
    "student_t",
    "tukey_lambda",
    "uniform",
]


def standard_normal(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Draws from N(0, 1) with the dtype and device of ``like``."""
    return torch.randn(tuple(shape), generator=generator, device=like.device, dtype=like.dtype)


def uniform(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Draws from U[0, 1) with the dtype and device of ``like``."""
    return torch.rand(tuple(shape), generator=generator, device=like.device, dtype=like.dtype)


def student_t(shape: Sequence[int], dof: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Student's t with ``dof`` > 2 degrees of freedom, scaled to unit variance.

    ``t = sqrt(dof (U^(-2/dof) - 1)) cos(2 pi V)`` for uniform U, V (Bailey 1994, the polar method); its variance is
    ``dof / (dof - 2)``.
    """
    radius = uniform(shape, like, generator).clamp_min(torch.finfo(like.dtype).tiny)
    angle = uniform(shape, like, generator)
    t = torch.sqrt(dof * (radius.pow(-2 / dof) - 1)) * torch.cos(2 * math.pi * angle)
    return t * math.sqrt((dof - 2) / dof)


def tukey_lambda(shape: Sequence[int], lam: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Tukey's lambda distribution with shape ``lam`` > -1/2, scaled to unit variance.

    Quantile function ``Q(u) = (u^lam - (1 - u)^lam) / lam``, the logistic distribution at 0; variance
    ``2 / lam^2 (1 / (1 + 2 lam) - Gamma(lam + 1)^2 / Gamma(2 lam + 2))`` (Joiner and Rosenblatt 1971).
    """
    epsilon = torch.finfo(like.dtype).eps
    u = uniform(shape, like, generator).clamp(epsilon, 1 - epsilon)
    if abs(lam) < 1e-6:
        return torch.logit(u) * (math.sqrt(3) / math.pi)
    cross = math.exp(2 * math.lgamma(lam + 1) - math.lgamma(2 * lam + 2))
    variance = 2 / lam**2 * (1 / (1 + 2 * lam) - cross)
    return (u.pow(lam) - (1 - u).pow(lam)) / (lam * math.sqrt(variance))


def read_tails(name: str, shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Unit-variance read noise with tails ``"gaussian"``, ``"student_t"`` (5 d.o.f.) or ``"tukey_lambda"`` (-0.1)."""
    match name:
        case "gaussian":
            return standard_normal(shape, like, generator)
        case "student_t":
            return student_t(shape, 5.0, like, generator)
        case _:
            return tukey_lambda(shape, -0.1, like, generator)


def add_gaussian(x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """``y = x + sigma n``, n white and standard normal."""
    return x + sigma * standard_normal(x.shape, x, generator)


def shot(x: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    """Photon noise ``y = K Poisson(x / K)`` with gain K per electron; variance ``K x``. Negative x counts as 0."""
    if gain == 0:
        return x
    return gain * torch.poisson(x.clamp_min(0) / gain, generator=generator)


def add_banding(x: Tensor, sigma: float, rows: bool, generator: torch.Generator) -> Tensor:
    """One normal offset for each row (or column) of a sensor line, common to all channels."""
    batch, _, height, width = x.shape
    shape = (batch, 1, height, 1) if rows else (batch, 1, 1, width)
    return x + sigma * standard_normal(shape, x, generator)


def add_quantisation(x: Tensor, step: float, generator: torch.Generator) -> Tensor:
    """``y = x + U(-q/2, q/2)`` with step q: the usual model of rounding; variance ``q^2 / 12``."""
    return x + step * (uniform(x.shape, x, generator) - 0.5)


def add_color_bias(x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """One normal offset for each channel of each image."""
    return x + sigma * standard_normal((*x.shape[:2], 1, 1), x, generator)


def salt_and_pepper(
    x: Tensor,
    probability: float,
    generator: torch.Generator,
    *,
    salt: Tensor | float = 1.0,
    pepper: Tensor | float = 0.0,
) -> Tensor:
    """Each value becomes ``salt`` or ``pepper`` with ``probability`` / 2 each."""
    precise = x.new_empty(0, dtype=torch.promote_types(x.dtype, torch.float32))  # bfloat16 has too few steps
    u = uniform(x.shape, precise, generator)
    salted = torch.where(u < probability / 2, salt, x)
    return torch.where(u >= 1 - probability / 2, pepper, salted)


def speckle(x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Multiplicative noise ``y = x (1 + sigma n)``; variance ``sigma^2 x^2``."""
    return x * (1 + sigma * standard_normal(x.shape, x, generator))


def gaussian_kernel(blur: float, like: Tensor) -> Tensor:
    """One-dimensional Gaussian of standard deviation ``blur`` pixels, cut at three of them, summing to 1."""
    radius = max(1, math.ceil(3 * blur))
    offsets = torch.arange(-radius, radius + 1, device=like.device, dtype=like.dtype)
    weights = torch.exp(-0.5 * (offsets / max(blur, 1e-6)) ** 2)
    return weights / weights.sum()


def add_correlated(x: Tensor, sigma: float, blur: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise filtered by a Gaussian of ``blur`` pixels, its standard deviation restored to ``sigma``.

    The field is drawn with a margin and filtered without padding, so that it is stationary up to the border.
    """
    kernel = gaussian_kernel(blur, x)
    kernel = kernel / kernel.norm()
    batch, channels, height, width = x.shape
    margin = kernel.numel() - 1
    field = standard_normal((batch * channels, 1, height + margin, width + margin), x, generator)
    field = F.conv2d(F.conv2d(field, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return x + sigma * field.view_as(x)


def round_to_8_bits(x: Tensor) -> Tensor:
    """What an 8-bit file keeps: clipped to [0, 1] and rounded to multiples of 1/255."""
    return torch.round(x.clamp(0, 1) * 255) / 255
