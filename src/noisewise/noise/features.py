"""Noise on features inside a network: what all of it shares, noise element by element, and where it may act.

Features are ``B x C``, tokens ``B x N x C``, or maps ``B x C x H x W``.

Source: Explore Positive Noise in Deep Learning, Eqs. 16 and 18.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from noisewise._registry import Registry
from noisewise.noise import functional as N
from noisewise.noise.base import require

__all__ = ["FEATURE_NOISES", "FeatureGaussian", "FeatureNoise", "FeatureSaltAndPepper", "Grouped"]

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
        """The same noise with its level times ``factor`` >= 0; zero is the identity."""

    @abstractmethod
    def _disturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The noisy features; must not write to ``x``."""


@FEATURE_NOISES.register("gaussian")
@dataclass(frozen=True)
class FeatureGaussian(FeatureNoise):
    """``X + e``, ``e ~ N(mean, sigma^2)``, on the scale of the features (Eq. 16)."""

    sigma: float = 1.0
    mean: float = 0.0

    def __post_init__(self) -> None:
        require(self.sigma >= 0, "sigma >= 0", self.sigma)

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
        return replace(self, probability=min(1.0, self.probability * factor))

    def _disturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        draws = N.uniform(x.shape, x.new_empty(0, dtype=torch.float32), generator)  # bfloat16 has too few steps
        dims = tuple(range(1, x.ndim))
        salted = torch.where(draws < self.probability / 2, x.amax(dims, keepdim=True), x)
        return torch.where(draws >= 1 - self.probability / 2, x.amin(dims, keepdim=True), salted)


@dataclass(frozen=True)
class Grouped(FeatureNoise):
    """``noise`` within groups of samples that are known to show one thing: views, a burst, a tracklet.

    Attributes:
        noise: what acts on each group as if it were a batch.
        groups: samples a group, neighbours in the batch; or the group of each sample, as a list or a tensor.
    """

    noise: FeatureNoise
    groups: int | Sequence[Hashable]

    def __post_init__(self) -> None:
        if isinstance(self.groups, int):
            require(self.groups >= 1, "at least one sample a group", self.groups)
        else:
            # elements of a tensor are no keys that equal each other
            named = self.groups.tolist() if isinstance(self.groups, Tensor) else self.groups
            object.__setattr__(self, "groups", tuple(named))

    @property
    def mixes_samples(self) -> bool:
        return self.noise.mixes_samples and self.groups != 1

    def scaled(self, factor: float) -> Self:
        return replace(self, noise=self.noise.scaled(factor))

    def members(self, count: int) -> list[list[int]]:
        """Positions in a batch of ``count`` samples of each group's members.

        Raises:
            ArgumentError: the batch is no whole number of groups, or not as long as the list of groups.
        """
        if isinstance(self.groups, int):
            whole = count % self.groups == 0
            require(whole, f"a batch of whole groups of {self.groups} (set the batch size to a multiple)", count)
            return [list(range(start, start + self.groups)) for start in range(0, count, self.groups)]
        require(count == len(self.groups), f"a batch of {len(self.groups)}, one group for each sample", count)
        members: dict[Hashable, list[int]] = {}
        for index, group in enumerate(self.groups):
            members.setdefault(group, []).append(index)
        return list(members.values())

    def _disturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        members = self.members(len(x))
        order = torch.tensor([index for group in members for index in group], device=x.device)
        parts = torch.split(x[order], [len(group) for group in members])
        return torch.cat([self.noise(part, generator=generator) for part in parts])[order.argsort()]
