"""The best linear denoiser of a feature, without gradient descent.

A linear ``D(x) = W x + b`` is to predict the noise ``eps`` of ``x_t = sqrt(abar) x + sqrt(1 - abar) eps``. The loss is
quadratic, so mean and covariance of x decide everything; all here is float64, group by group.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from noisewise.methods.denoiserep.schedule import Schedule
from noisewise.surgery import AffineMap, FeatureMoments

__all__ = ["NoisePredictor", "best_predictor", "denoising_map", "expected_loss", "reverse_step", "wiener_map"]


class NoisePredictor(NamedTuple):
    """``D(x_t) = W x_t + b``, an estimate of the noise in ``x_t``; ``G x D x D`` and ``G x D``."""

    weight: Tensor
    bias: Tensor


def best_predictor(moments: FeatureMoments, alpha_bar: float, *, offset: bool = True) -> NoisePredictor:
    """``W = sqrt(1 - abar) (abar S + (1 - abar) I)^-1``, ``b = -sqrt(abar) W mu``.

    Without ``offset`` b is 0, and the best such W has the second moment ``E x x^T`` in the place of the covariance S.
    """
    spread = moments.covariance if offset else moments.second_moment
    noisy = alpha_bar * spread + (1 - alpha_bar) * _eye(spread)
    weight = (1 - alpha_bar) ** 0.5 * torch.linalg.inv(noisy)
    bias = -(alpha_bar**0.5) * _times(weight, moments.mean)
    return NoisePredictor(weight, bias if offset else torch.zeros_like(bias))


def expected_loss(predictor: NoisePredictor, moments: FeatureMoments, alpha_bar: float) -> float:
    """``E |D(x_t) - eps|^2`` per feature, in closed form over the noise and the features that were seen.

    ``tr W (abar S + (1 - abar) I) W^T - 2 sqrt(1 - abar) tr W + d + |sqrt(abar) W mu + b|^2``, divided by d.
    """
    weight, bias = predictor
    noisy = alpha_bar * moments.covariance + (1 - alpha_bar) * _eye(weight)
    spread = torch.einsum("gij,gjk,gik->", weight, noisy, weight)
    trace = weight.diagonal(dim1=-2, dim2=-1).sum()
    shift = alpha_bar**0.5 * _times(weight, moments.mean) + bias
    loss = spread - 2 * (1 - alpha_bar) ** 0.5 * trace + bias.numel() + shift.square().sum()
    return float(loss / bias.numel())


def reverse_step(predictor: NoisePredictor, schedule: Schedule, t: int) -> AffineMap:
    """The mean of the diffusion's posterior, an affine map: ``M = I/sqrt(a) - C W``, ``m = -C b``.

    ``C = (1 - a) / (sqrt(a) sqrt(1 - abar))``. The paper adds a random vector here; once fused it would be the same for
    every input, and only tie the network to a draw, so the mean is kept.
    """
    alpha, alpha_bar = schedule.alpha(t), schedule.alpha_bar(t)
    scale = (1 - alpha) / (alpha**0.5 * (1 - alpha_bar) ** 0.5)
    return AffineMap(_eye(predictor.weight) / alpha**0.5 - scale * predictor.weight, -scale * predictor.bias)


def printed_step(predictor: NoisePredictor, schedule: Schedule, t: int) -> AffineMap:
    """Equation 7 of the paper as printed: ``M = I - C W``, without ``1/sqrt(a)`` and without b; not exact."""
    exact = reverse_step(predictor, schedule, t)
    rescaling = (1 / schedule.alpha(t) ** 0.5 - 1) * _eye(exact.matrix)
    return AffineMap(exact.matrix - rescaling, torch.zeros_like(exact.offset))


def denoising_map(
    moments: FeatureMoments, schedule: Schedule, t: int, steps: int, *, offset: bool = True, paper_eq7: bool = False
) -> AffineMap:
    """The closed-form reverse steps ``t, t - 1, .., t - steps + 1``, one after the other."""
    step = printed_step if paper_eq7 else reverse_step
    groups, features = moments.mean.shape
    whole = AffineMap.identity(groups, features, moments.mean.device)
    for now in range(t, t - steps, -1):
        predictor = best_predictor(moments, schedule.alpha_bar(now), offset=offset)
        whole = step(predictor, schedule, now).after(whole)
    return whole


def wiener_map(moments: FeatureMoments, variance: float, *, offset: bool = True) -> AffineMap:
    """The best affine estimate of x from ``x + n``, n white: ``M = S (S + v I)^-1``, ``m = (I - M) mu``.

    v is the variance of n. Without ``offset`` m is 0 and the second moment stands for S.
    """
    spread = moments.covariance if offset else moments.second_moment
    matrix = torch.linalg.solve(spread + variance * _eye(spread), spread).mT
    shift = moments.mean - _times(matrix, moments.mean)
    return AffineMap(matrix, shift if offset else torch.zeros_like(shift))


def _eye(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device).expand_as(like)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
