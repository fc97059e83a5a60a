"""Noises made of noises: in sequence, one of several, with random levels, and as saved by an 8-bit file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from noisewise.noise import functional as N
from noisewise.noise.base import NOISES, ImageNoise, require

__all__ = ["Chain", "EightBit", "OneOf", "RandomLevels"]


@dataclass(frozen=True)
class Chain(ImageNoise):
    """Each of ``noises`` in turn; scaling scales them all."""

    noises: tuple[ImageNoise, ...]

    def scaled(self, factor: float) -> Self:
        return replace(self, noises=tuple(noise.scaled(factor) for noise in self.noises))

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        for noise in self.noises:
            x = noise(x, generator=generator)
        return x


@dataclass(frozen=True)
class OneOf(ImageNoise):
    """For each image one of ``noises``, drawn with the given ``weights`` (equal ones if empty)."""

    noises: tuple[ImageNoise, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require(len(self.noises) > 0, "at least one noise", self.noises)
        require(len(self.weights) in (0, len(self.noises)), f"{len(self.noises)} weights", self.weights)
        require(not self.weights or min(self.weights) >= 0 < sum(self.weights), "weights >= 0, not all 0", self.weights)

    def scaled(self, factor: float) -> Self:
        return replace(self, noises=tuple(noise.scaled(factor) for noise in self.noises))

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        weights = torch.tensor(self.weights or (1.0,) * len(self.noises), device=x.device, dtype=torch.float32)
        choices = torch.multinomial(weights, len(x), replacement=True, generator=generator).tolist()
        pairs = zip(choices, torch.split(x, 1), strict=True)
        return torch.cat([self.noises[choice](image, generator=generator) for choice, image in pairs])


@dataclass(frozen=True)
class RandomLevels(ImageNoise):
    """``noise`` with some of its fields drawn anew for each image, uniformly from ``ranges`` (name to low, high)."""

    noise: ImageNoise
    ranges: Mapping[str, tuple[float, float]]
    factor: float = 1.0

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self.noise)]  # type: ignore[arg-type]
        require(set(self.ranges) <= set(names), f"ranges of {', '.join(names)}", sorted(self.ranges))
        for end in (0, 1):  # builds the noise at both ends, so that a bad range fails now
            replace(self.noise, **{name: ends[end] for name, ends in self.ranges.items()})  # type: ignore[type-var]
        require(all(low <= high for low, high in self.ranges.values()), "ranges low..high", dict(self.ranges))

    def scaled(self, factor: float) -> Self:
        return replace(self, factor=self.factor * factor)

    def draw(self, generator: torch.Generator) -> ImageNoise:
        """One noise with its levels drawn."""
        unit = torch.rand(len(self.ranges), generator=generator, device=generator.device).tolist()
        pairs = zip(self.ranges.items(), unit, strict=True)
        levels: dict[str, Any] = {name: low + (high - low) * u for (name, (low, high)), u in pairs}
        drawn: ImageNoise = replace(self.noise, **levels)  # type: ignore[type-var]
        return drawn if self.factor == 1 else drawn.scaled(self.factor)

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return torch.cat([self.draw(generator)(image, generator=generator) for image in torch.split(x, 1)])


@NOISES.register("eight_bit")
@dataclass(frozen=True)
class EightBit(ImageNoise):
    """What an 8-bit file does: clips to [0, 1] and rounds. ``amount`` is 1, or 0 for the identity."""

    amount: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.amount <= 1, "amount in [0, 1]", self.amount)

    def scaled(self, factor: float) -> Self:
        return replace(self, amount=self.amount if factor else 0.0)

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.round_to_8_bits(x) if self.amount else x
