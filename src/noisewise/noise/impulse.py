"""Noises that replace single pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from noisewise.contracts import Images, Moments
from noisewise.noise import functional as N
from noisewise.noise.base import NOISES, ImageNoise, require

__all__ = ["SaltAndPepper"]


@NOISES.register("salt_and_pepper")
@dataclass(frozen=True)
class SaltAndPepper(ImageNoise):
    """Each value becomes 0 or 1, each with half the ``probability``, which is the level."""

    probability: float = 0.05

    def __post_init__(self) -> None:
        require(0 <= self.probability <= 1, "probability in [0, 1]", self.probability)

    def scaled(self, factor: float) -> Self:
        return replace(self, probability=min(1.0, self.probability * factor))

    def moments(self, clean: Images) -> Moments:
        """Mean and variance of each noisy pixel."""
        p = self.probability
        mean = (1 - p) * clean + p / 2
        return Moments(mean, (1 - p) * clean.square() + p / 2 - mean.square())

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.salt_and_pepper(x, self.probability, generator)
