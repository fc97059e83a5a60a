"""Noise that mixes the samples of a group that is known to show one thing, and of no other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from noisewise.errors import ArgumentError
from noisewise.noise.base import require
from noisewise.noise.features import FeatureNoise
from noisewise.noise.linear import LinearNoise, Square, violated_constraints

__all__ = ["Grouped"]


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
        # elements of a tensor are no keys that equal each other
        groups: Any = self.groups.tolist() if hasattr(self.groups, "tolist") else self.groups
        if isinstance(groups, int):
            require(groups >= 1, "at least one sample a group", groups)
        else:
            named = isinstance(groups, Sequence) and all(isinstance(group, Hashable) for group in groups)
            require(named, "a whole number of samples a group, or the group of each sample as a list", groups)
        object.__setattr__(self, "groups", groups if isinstance(groups, int) else tuple(groups))

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

    def quality_matrix(self, k: int) -> Square:
        """The matrix of a batch of ``k``, float64: that of ``noise`` between the members of a group, 0 between groups.

        Raises:
            ArgumentError: ``noise`` has no matrix over the batch, or the groups do not fit ``k``.
        """
        linear = self._linear()
        matrix = torch.zeros(k, k, dtype=torch.float64)
        for group in map(torch.tensor, self.members(k)):
            if len(group) > 1:  # a single sample stays as it is
                matrix[group[:, None], group] = linear.quality_matrix(len(group))
        return matrix

    def violated_constraints(self, k: int) -> list[str]:
        """Which constraints of Eq. 14 the matrix of a batch of ``k`` fails; see :func:`violated_constraints`."""
        return violated_constraints(self.quality_matrix(k))

    def _linear(self) -> LinearNoise | Grouped:
        """What acts on each group, if it has a matrix over the batch."""
        linear = self.noise
        if isinstance(linear, Grouped) or (isinstance(linear, LinearNoise) and linear.axis == "batch"):
            return linear
        raise ArgumentError(f"expected a linear noise over the batch, such as OptimalQ(), in the groups, got {linear}")

    def _disturb(self, x: Tensor, generator: torch.Generator) -> Tensor:
        members = self.members(len(x))
        order = torch.tensor([index for group in members for index in group], device=x.device)
        parts = torch.split(x[order], [len(group) for group in members])
        return torch.cat([self.noise(part, generator=generator) for part in parts])[order.argsort()]
