"""Linear transforms ``X + Q X`` of features: the quality matrices Q of Positive Noise.

The rows of X are the samples of a batch, the tokens of a sample, or its channels. Over a batch, **Q mixes samples**:
each becomes an average with its batch mates, and a figure measured so depends on who they are.

Source: Explore Positive Noise in Deep Learning, Eqs. 14, 17 and 19.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Literal, Self, get_args

import torch
from jaxtyping import Float, Real
from torch import Tensor

from noisewise.noise.base import require
from noisewise.noise.features import FEATURE_NOISES, FeatureNoise, scaled_share

__all__ = [
    "Axis",
    "CircularShift",
    "LinearNoise",
    "LinearTransform",
    "OptimalQ",
    "Square",
    "circular_shift_matrix",
    "optimal_matrix",
    "violated_constraints",
]

Axis = Literal["batch", "tokens", "channels"]
"""What the rows of X are. The tokens of a map ``B x C x H x W`` are its places."""

Square = Float[Tensor, "k k"]


def circular_shift_matrix(k: int) -> Square:
    """``Q = alpha (f(I) - I)`` at strength alpha = 1, f the cyclic shift of the rows (Eq. 17).

    Row i becomes ``(1 - alpha) x_i + alpha x_(i+1)``. Q is singular, for its rows sum to zero; so is I + Q for
    alpha = 1/2 and even k.
    """
    identity = torch.eye(k, dtype=torch.float64)
    return identity.roll(-1, dims=0) - identity


def optimal_matrix(k: int) -> Square:
    """``Q`` with ``I + Q = (I + 11^T) / (k + 1)`` (Eq. 19).

    Each row becomes the mean of all, itself counted twice. Q is singular, for its rows sum to zero.
    """
    return (torch.eye(k, dtype=torch.float64) + 1) / (k + 1) - torch.eye(k, dtype=torch.float64)


def violated_constraints(q: Real[Tensor, "k k"]) -> list[str]:
    """Which constraints of Eq. 14 the matrix ``q`` fails, in words; empty if none.

    They are: I + Q has full rank; Q is row equivalent to I, that is, has full rank, too; no element of a row of I + Q
    exceeds the one on the diagonal; the absolute values of each row of I + Q sum to one.

    Raises:
        ArgumentError: the matrix is not square.
    """
    require(_is_square(q), "a square matrix", tuple(q.shape))
    q = q.to(torch.promote_types(q.dtype, torch.float32))  # integers and halves have no rank in torch
    total = torch.eye(len(q), dtype=q.dtype, device=q.device) + q
    judged = {
        "I + Q is singular": torch.linalg.matrix_rank(total) == len(q),
        "Q is singular, hence not row equivalent to I": torch.linalg.matrix_rank(q) == len(q),
        "a row of I + Q exceeds its diagonal": (total <= total.diagonal().unsqueeze(1) + 1e-12).all(),
        "a row of |I + Q| does not sum to one": torch.allclose(total.abs().sum(1), total.new_ones(len(q))),
    }
    return [failure for failure, holds in judged.items() if not holds]


@dataclass(frozen=True)
class LinearNoise(FeatureNoise):
    """``X + strength Q X`` along an axis; a single row stays as it is.

    Attributes:
        strength: 0 is the identity.
        axis: what the rows of X are.
    """

    strength: float = 1.0
    axis: Axis = "batch"

    def __post_init__(self) -> None:
        require(0 <= self.strength <= 1, "strength in [0, 1]", self.strength)
        require(self.axis in get_args(Axis), f"axis from {get_args(Axis)}", self.axis)

    @property
    def mixes_samples(self) -> bool:
        return self.axis == "batch" and self.strength > 0

    def scaled(self, factor: float) -> Self:
        return replace(self, strength=scaled_share(self.strength, factor))

    def quality_matrix(self, k: int) -> Square:
        """``strength Q`` for ``k`` rows, float64.

        Raises:
            ArgumentError: there are not two rows to mix.
        """
        require(k >= 2, "at least two rows to mix (batches of two samples or more)", k)
        return self.strength * self._unit_matrix(k)

    def violated_constraints(self, k: int) -> list[str]:
        """Which constraints of Eq. 14 the matrix for ``k`` rows fails; see :func:`violated_constraints`."""
        return violated_constraints(self.quality_matrix(k))

    @abstractmethod
    def _unit_matrix(self, k: int) -> Square:
        """Q for ``k`` rows at strength 1."""

    def _unit_product(self, x: Tensor, dim: int) -> Tensor:
        """``Q X`` at strength 1 for the rows along ``dim``."""
        rows = x.movedim(dim, 0)
        with torch.autocast(x.device.type, enabled=False):  # a product of half precision would leave a residue
            product = self._unit_matrix(len(rows)).to(x) @ rows.flatten(1)
        return product.view(rows.shape).movedim(0, dim)

    def _disturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if self.axis == "tokens" and x.ndim == 4:
            return self._along(x.flatten(2), 2).reshape(x.shape)
        require(self.axis != "tokens" or x.ndim > 2, "tokens B x N x C or a map to mix the tokens of", tuple(x.shape))
        return self._along(x, {"batch": 0, "tokens": 1, "channels": 1 if x.ndim == 4 else -1}[self.axis])

    def _along(self, x: Tensor, dim: int) -> Tensor:
        return x if x.shape[dim] == 1 else x + self.strength * self._unit_product(x, dim)


@FEATURE_NOISES.register("circular")
@dataclass(frozen=True)
class CircularShift(LinearNoise):
    """Each row moves by ``strength`` towards the next one (Eq. 17)."""

    strength: float = 0.3

    def _unit_matrix(self, k: int) -> Square:
        return circular_shift_matrix(k)

    def _unit_product(self, x: Tensor, dim: int) -> Tensor:
        return x.roll(-1, dims=dim) - x


@FEATURE_NOISES.register("optimal")
@dataclass(frozen=True)
class OptimalQ(LinearNoise):
    """Each row becomes the mean of all rows with itself counted twice (Eq. 19), at ``strength`` 1."""

    def _unit_matrix(self, k: int) -> Square:
        return optimal_matrix(k)

    def _unit_product(self, x: Tensor, dim: int) -> Tensor:
        k = x.shape[dim]
        return (x.mean(dim, keepdim=True) - x) * (k / (k + 1))  # the mean does not overflow in half precision


@dataclass(frozen=True, eq=False)
class LinearTransform(LinearNoise):
    """Any ``matrix`` Q, for as many rows as it has; a batch of one row stays as it is."""

    matrix: Square = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(_is_square(self.matrix), "a square matrix", tuple(self.matrix.shape))

    def _unit_matrix(self, k: int) -> Square:
        mend = "if the last batch is smaller, load with drop_last=True, or use a noise of any size such as OptimalQ"
        require(k == len(self.matrix), f"{len(self.matrix)} rows, as the matrix has ({mend})", k)
        return self.matrix.double()


def _is_square(matrix: Tensor) -> bool:
    return matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
