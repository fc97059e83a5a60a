"""A gradient turned round on its way back, so that one step serves two opponents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["reverse_gradient"]


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """The features themselves, whose gradient comes back times ``-strength``.

    Source: Ganin and Lempitsky, ICML 2015, Eqs. 7 and 8.
    """
    reversed_: Tensor = _Reversal.apply(features, strength)
    return reversed_
