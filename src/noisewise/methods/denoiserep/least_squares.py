"""Weights that map what a layer sees of a noisy image to what it gave for the clean one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from noisewise.errors import SurgeryError

__all__ = ["NormalEquations"]

Rows = Float[Tensor, "rows groups features"]


@dataclass
class NormalEquations:
    """Sums for ``min sum w |W' x + b' - y|^2 + r |[W' b'] - [W b]|^2``, group by group, float64.

    The unknown is the correction ``[dW db]``, which solves ``[dW db] (A + r I) = E`` with ``A = sum w x x^T`` and
    ``E = sum w (y - W x - b) x^T``; x is extended by a one where there is a bias.

    Attributes:
        gram: ``A``, ``G x D x D``.
        cross: ``E``, ``G x O x D``.
        rows: number of vectors x.
        energy: sum of ``w |y - W x - b|^2``.
    """

    gram: Tensor
    cross: Tensor
    rows: int = 0
    energy: float = 0.0

    @classmethod
    def of(cls, inputs: Rows, errors: Rows, weight: float, *, gram: bool = True) -> NormalEquations:
        """The sums of some vectors of one view.

        Args:
            inputs: x, extended where there is a bias.
            errors: ``y - W x - b``.
            weight: w.
            gram: sum A, too; without it A is a zero, for other errors of the same vectors.
        """
        x, e = inputs.double().movedim(1, 0), errors.double().movedim(1, 0)
        squares = weight * (x.mT @ x) if gram else x.new_zeros(len(x), 1, 1)
        return cls(squares, weight * (e.mT @ x), len(inputs), weight * float(e.square().sum()))

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(
            self.gram + other.gram, self.cross + other.cross, self.rows + other.rows, self.energy + other.energy
        )

    def correction(self, ridge: float) -> Float[Tensor, "groups outputs features"]:
        """``[dW db]`` for ``r = ridge`` times the mean diagonal of A.

        Raises:
            SurgeryError: the equations are singular to rounding.
        """
        scale = self.gram.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(torch.finfo(torch.float64).tiny)
        eye = torch.eye(self.gram.shape[-1], dtype=self.gram.dtype, device=self.gram.device)
        regular = self.gram + (ridge * scale)[:, None, None] * eye
        factor, failed = torch.linalg.cholesky_ex(regular)
        if failed.any():
            raise SurgeryError(f"a layer's equations are singular with ridge {ridge}; raise it, or give more images")
        return torch.cholesky_solve(self.cross.mT, factor).mT

    def left(self, correction: Tensor) -> float:
        """What is left of the energy after the correction."""
        return self.energy + float((correction @ self.gram * correction).sum() - 2 * (correction * self.cross).sum())
