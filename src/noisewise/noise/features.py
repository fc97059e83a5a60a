"""Noise on features inside a network: what all of it shares, noise element by element, and where it may act.

Features are ``B x C``, tokens ``B x N x C``, or maps ``B x C x H x W``.

Source: Explore Positive Noise in Deep Learning, Eqs. 16 and 18.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from noisewise._registry import Registry
from noisewise.noise import functional as N
from noisewise.noise.base import require

__all__ = ["FEATURE_NOISES", "FeatureGaussian", "FeatureNoise", "FeatureSaltAndPepper", "scaled_share"]

FEATURE_NOISES: Registry[type[FeatureNoise]] = Registry("feature noise")
"""Every feature noise by its name in specifications such as ``circular:strength=0.3``."""


class FeatureNoise(ABC):
    """Base of the feature noises: immutable, seeded, in the dtype and on the device of its input."""

    @property
    def mixes_samples(self) -> bool:
        """Whether a sample's result depends on the other samples of its batch."""
        return False

    def __call__(self, features: Tensor, *, generator: torch.Generator) -> Tensor:
        """The noisy features.

        Args:
            features: ``B x C``, ``B x N x C`` or ``B x C x H x W``, floating; left untouched, differentiable.
            generator: the source of all randomness, on the device of ``features``.

        Raises:
            ArgumentError: ``features`` are of another kind.
        """
        shaped = 2 <= features.ndim <= 4 and features.is_floating_point()
        require(shaped, "floating features B x C, B x N x C or B x C x H x W", (tuple(features.shape), features.dtype))
        return self._disturb(features, generator)

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """The same noise with its level times ``factor`` >= 0; zero is the identity.

        Raises:
            ArgumentError: the level would leave its range, and another factor would give the same noise.
        """

    @abstractmethod
    def _disturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The noisy features; must not write to ``x``."""


def scaled_share(share: float, factor: float) -> float:
    """``share * factor`` for a level that ends at 1.

    Raises:
        ArgumentError: it would exceed 1.
    """
    scaled = share * factor
    most = 1 / share if share else math.inf
    within = scaled <= 1 + 1e-5  # the largest factor as the message prints it is allowed
    require(within, f"a factor of at most {most:g}, for a level of {share:g} ends at 1", factor)
    return min(1.0, scaled)


@FEATURE_NOISES.register("gaussian")
@dataclass(frozen=True)
class FeatureGaussian(FeatureNoise):
    """``X + e``, ``e ~ N(mean, sigma^2)``, on the scale of the features (Eq. 16)."""

    sigma: float = 1.0
    mean: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.sigma < math.inf, "a finite sigma >= 0", self.sigma)
        require(math.isfinite(self.mean), "a finite mean", self.mean)

    def scaled(self, factor: float) -> Self:
        return replace(self, sigma=self.sigma * factor, mean=self.mean * factor)

    def _disturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + self.mean + self.sigma * N.standard_normal(x.shape, x, generator)


@FEATURE_NOISES.register("salt_and_pepper")
@dataclass(frozen=True)
class FeatureSaltAndPepper(FeatureNoise):
    """Half of a share ``probability`` of the features become the largest, half the smallest of their sample (Eq. 18).

    The paper takes the extremes over the whole batch; here a sample does not depend on its batch mates.
    """

    probability: float = 0.1

    def __post_init__(self) -> None:
        require(0 <= self.probability <= 1, "probability in [0, 1]", self.probability)

    def scaled(self, factor: float) -> Self:
        return replace(self, probability=scaled_share(self.probability, factor))

    def _disturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        dims = tuple(range(1, x.ndim))
        salt, pepper = x.amax(dims, keepdim=True), x.amin(dims, keepdim=True)
        return N.salt_and_pepper(x, self.probability, generator, salt=salt, pepper=pepper)
