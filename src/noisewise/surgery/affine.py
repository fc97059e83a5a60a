"""Affine maps of features, ``x -> M x + m`` group by group, and how a layer swallows one into its weights.

A layer's weights are seen as a grouped kernel ``G x O x I x H x W``: ``G`` groups with ``O`` outputs and ``I`` inputs
each and an ``H x W`` window, 1 x 1 for a linear layer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["AffineMap", "fold_input", "fold_output"]

Kernel = Float[Tensor, "groups outputs inputs height width"]
Offset = Float[Tensor, "groups features"]


class AffineMap(NamedTuple):
    """``x -> M x + m`` on each group of features."""

    matrix: Float[Tensor, "groups features features"]
    offset: Offset

    def after(self, first: AffineMap) -> AffineMap:
        """The map that does ``first`` and then this one: ``M M1``, ``M m1 + m``."""
        return AffineMap(self.matrix @ first.matrix, _times(self.matrix, first.offset) + self.offset)

    def __call__(self, features: Tensor, channel_dim: int = -1) -> Tensor:
        """The map applied along ``channel_dim`` of ``features``, in their dtype and on their device."""
        matrix, offset = self.matrix.to(features), self.offset.to(features)
        last = features.movedim(channel_dim, -1)
        groups = last.reshape(*last.shape[:-1], *offset.shape)
        mapped = torch.einsum("gij,...gj->...gi", matrix, groups) + offset
        return mapped.flatten(-2).movedim(-1, channel_dim)

    @classmethod
    def identity(cls, groups: int, features: int, device: torch.device | str = "cpu") -> AffineMap:
        """``x -> x``, float64."""
        eye = torch.eye(features, dtype=torch.float64, device=device)
        return cls(eye.expand(groups, -1, -1), torch.zeros(groups, features, dtype=torch.float64, device=device))


def fold_input(kernel: Kernel, bias: Offset, before: AffineMap) -> tuple[Kernel, Offset]:
    """Kernel and bias that do ``before`` and then the layer: ``W' = W M``, ``b' = b + W m``.

    Exact for every stride, dilation, window and number of groups, except that zeros padded around the features stay
    zeros: with such padding ``m`` must be 0.
    """
    folded = torch.einsum("goihw,gij->gojhw", kernel, before.matrix)
    return folded, bias + torch.einsum("goihw,gi->go", kernel, before.offset)


def fold_output(kernel: Kernel, bias: Offset, after: AffineMap) -> tuple[Kernel, Offset]:
    """Kernel and bias that do the layer and then ``after``: ``W' = M W``, ``b' = M b + m``; always exact."""
    folded = torch.einsum("gpo,goihw->gpihw", after.matrix, kernel)
    return folded, _times(after.matrix, bias) + after.offset


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
