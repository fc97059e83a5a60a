"""The losses and regularisers of the thesis, each a mean over pixels, without logarithms of what may be zero.

Source: thesis, chapter on training; Charbonnier et al., ICIP 1994; Johnson, Alahi and Fei-Fei, ECCV 2016, for the
perceptual one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from noisewise._registry import Registry
from noisewise.contracts import Images
from noisewise.train.supervised import charbonnier as charbonnier_of

__all__ = ["LOSSES", "Loss", "charbonnier", "latent_kl", "latent_l1", "perceptual"]

Loss = Callable[[Images, Images], Float[Tensor, ""]]
"""Of an estimate and its target."""

LOSSES: Registry[Loss] = Registry("loss")

_LEAST_VARIANCE = 1e-8

LOSSES.register("l1")(F.l1_loss)
LOSSES.register("mse")(F.mse_loss)


@LOSSES.register("charbonnier")
def charbonnier(estimate: Images, target: Images) -> Float[Tensor, ""]:
    """``mean sqrt(d^2 + eps^2)``: absolute error, smooth at zero."""
    return charbonnier_of(estimate - target)


@LOSSES.register("bce")
def binary_cross_entropy(logits: Images, target: Images) -> Float[Tensor, ""]:
    """Of a network whose outputs are logits, against targets in [0, 1]; those beyond, where noise went, are clipped."""
    return F.binary_cross_entropy_with_logits(logits, target.clamp(0, 1))


def latent_l1(features: list[Tensor]) -> Float[Tensor, ""]:
    """``mean |z|`` over all levels, which makes features sparse."""
    return torch.stack([level.abs().mean() for level in features]).mean()


def latent_kl(features: list[Tensor]) -> Float[Tensor, ""]:
    """``KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - log s^2) / 2`` of each channel's mean and variance, mean of all."""
    return torch.stack([_standard_normal_kl(level) for level in features]).mean()


def perceptual(estimate: Images, target: Images, encoder: Callable[[Images], Tensor]) -> Float[Tensor, ""]:
    """Mean squared difference of what an encoder of the user's, such as VGG's layers, sees in both."""
    return F.mse_loss(encoder(estimate), encoder(target).detach())


def _standard_normal_kl(level: Tensor) -> Tensor:
    mean = level.mean((0, 2, 3))
    variance = level.var((0, 2, 3), correction=0).clamp_min(_LEAST_VARIANCE)
    return (mean.square() + variance - 1 - variance.log()).mean() / 2
