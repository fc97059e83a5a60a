"""How much noise a diffusion has added after t steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from noisewise._registry import Registry
from noisewise.errors import ArgumentError

__all__ = ["SCHEDULES", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Linear variances ``beta_1..beta_T`` (Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models, 2020).

    Attributes:
        first: ``beta_1``.
        last: ``beta_T``.
        steps: ``T``.
    """

    first: float
    last: float
    steps: int = 1000

    def __post_init__(self) -> None:
        if not (0 < self.first < 1 and 0 < self.last < 1 and self.steps >= 1):
            raise ArgumentError(f"expected variances in (0, 1) and at least one step, got {self}")

    @cached_property
    def _alphas(self) -> Tensor:
        return 1 - torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)

    @cached_property
    def _products(self) -> Tensor:
        return self._alphas.cumprod(0)

    def alpha(self, t: int) -> float:
        """``a_t = 1 - beta_t`` for t from 1 to T."""
        return float(self._alphas[self._index(t)])

    def alpha_bar(self, t: int) -> float:
        """``abar_t = a_1 ... a_t`` for t from 0, where it is 1, to T."""
        return 1.0 if t == 0 else float(self._products[self._index(t)])

    def _index(self, t: int) -> int:
        if not 1 <= t <= self.steps:
            raise ArgumentError(f"expected a step t from 1 to {self.steps}, got {t}; choose a smaller t or fewer steps")
        return t - 1


SCHEDULES: Registry[Schedule] = Registry("schedule")
"""``paper``: that of DenoiseRep's published code. ``ddpm``: that of Ho et al."""

SCHEDULES.register("paper")(Schedule(1e-4, 2e-3))
SCHEDULES.register("ddpm")(Schedule(1e-4, 2e-2))
