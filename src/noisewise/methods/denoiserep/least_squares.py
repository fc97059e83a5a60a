"""Weights that map what a layer sees of a noisy image to what it gave for the clean one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from noisewise.errors import SurgeryError

__all__ = ["NormalEquations", "RidgeSolver"]

Rows = Float[Tensor, "rows groups features"]
Corrections = Float[Tensor, "groups outputs features"]


@dataclass
class NormalEquations:
    """Sums for ``min sum w |W' x + b' - y|^2 + r |[W' b'] - [W b]|^2``, group by group, float64.

    The unknown is the correction ``[dW db]``, which solves ``[dW db] (A + r I) = E`` with ``A = sum w x x^T`` and
    ``E = sum w (y - W x - b) x^T``; x is extended by a one where there is a bias.

    Attributes:
        gram: ``A``, ``G x D x D``.
        cross: ``E``, ``G x O x D``.
        energy: of each output the sum of ``w |y - W x - b|^2``, ``G x O``.
        rows: number of vectors x.
    """

    gram: Tensor
    cross: Tensor
    energy: Tensor
    rows: int = 0

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
        return cls(squares, weight * (e.mT @ x), weight * e.square().sum(1), len(inputs))

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(
            self.gram + other.gram, self.cross + other.cross, self.energy + other.energy, self.rows + other.rows
        )


class RidgeSolver:
    """The matrix of such equations, factorised once for whatever errors.

    Args:
        gram: ``A``.
        ridge: r, relative to the mean diagonal of A.

    Raises:
        SurgeryError: the equations are singular to rounding.
    """

    def __init__(self, gram: Float[Tensor, "groups features features"], ridge: float) -> None:
        scale = gram.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(torch.finfo(torch.float64).tiny)
        self._strength = (ridge * scale)[:, None, None]
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        self._factor, failed = torch.linalg.cholesky_ex(gram + self._strength * eye)
        if failed.any():
            raise SurgeryError(f"a layer's equations are singular with ridge {ridge}; raise it, or give more images")

    def correction(self, equations: NormalEquations) -> Corrections:
        """``[dW db]``."""
        return torch.cholesky_solve(equations.cross.mT, self._factor).mT

    def left(self, equations: NormalEquations, correction: Corrections) -> Float[Tensor, "groups outputs"]:
        """What is left of the energy of each output after ``correction``, which solves the equations.

        ``energy - 2 E . c + c A . c`` with ``c A = E - r c``.
        """
        explained = correction * (equations.cross + self._strength * correction)
        return equations.energy - explained.sum(-1)
