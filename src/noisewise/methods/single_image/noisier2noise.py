"""Noisier2Noise: a network removes noise that was added on purpose, and arithmetic takes the other half off.

Source: Moran, Schmidt, Zhong and Coady, CVPR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.measure.noise_level import white_noise_level
from noisewise.methods.single_image.learner import LEARNERS, Learner
from noisewise.methods.single_image.observed import Observed
from noisewise.noise import functional as N

__all__ = ["Noisier2Noise"]

_LEAST_SIGMA = 0.5 / 255


@LEARNERS.register("noisier2noise")
@dataclass(frozen=True)
class Noisier2Noise(Learner):
    """White Gaussian noise is taken for granted.

    With ``z = y + a s n`` for unit normal n, ``E[y | z] = E[x | z] + (z - E[x | z]) / (1 + a^2)``, hence
    ``x^ = ((1 + a^2) f(z) - z) / a^2`` for a network f that learnt y from z.

    Attributes:
        sigma: s, the level of the image's noise, [0, 1] scale; measured if None.
        ratio: a, of the level of the added noise to that.
    """

    passes: ClassVar[int] = 16
    patch: ClassVar[int | None] = 256

    sigma: float | None = None
    ratio: float = 0.7

    def __post_init__(self) -> None:
        if not self.ratio > 0 or (self.sigma is not None and not self.sigma > 0):
            raise ArgumentError(f"expected ratio above 0, and sigma above 0 or None, got {self}")

    def at(self, noisy: Images) -> Noisier2Noise:
        """With the level of its noise."""
        if self.sigma is not None:
            return self
        return replace(self, sigma=max(float(white_noise_level(noisy)), _LEAST_SIGMA))

    def loss(self, network: nn.Module, observed: Observed, generator: torch.Generator) -> Tensor:
        """``|f(z) - y|^2`` over the pixels that may be seen."""
        answer: Tensor = network(self._noisier(observed.visible, generator))
        squares = (answer - observed.noisy).square() * observed.kept
        return squares.sum() / (observed.kept.sum() * observed.noisy.shape[1])

    def estimate(self, network: nn.Module, noisy: Images, generator: torch.Generator, passes: int) -> Images:
        """The mean of ``x^`` over as many draws of the added noise."""
        square, total = self.ratio**2, torch.zeros_like(noisy)
        for _ in range(passes):
            noisier = self._noisier(noisy, generator)
            total += ((1 + square) * network(noisier) - noisier) / square
        return total / passes

    def _noisier(self, images: Images, generator: torch.Generator) -> Images:
        known = self if self.sigma is not None else self.at(images)
        return N.add_gaussian(images, self.ratio * (known.sigma or 0.0), generator)
