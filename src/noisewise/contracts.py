"""The few shapes that everything in noisewise fits. Read this first.

An image batch is a floating tensor ``B x C x H x W``, RGB or grey, nominally in [0, 1]; noise may leave that range.
Noise levels (``sigma``) are standard deviations on the same scale: ``25 / 255``, not 25.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "EncoderDecoder",
    "Images",
    "Measure",
    "Moments",
    "Noise",
    "NoiseOnFeatures",
    "NoiseWithMoments",
    "Shares",
    "Task",
]

Images = Float[Tensor, "batch channels height width"]

Shares: TypeAlias = Callable[[int, int], None]
"""Who watches work that takes a while: called with how much is done, and of how much."""


class Moments(NamedTuple):
    """Mean and variance of each noisy pixel given its clean value; both broadcast to the shape of the images."""

    mean: Tensor
    variance: Tensor


@runtime_checkable
class Noise(Protocol):
    """Clean batch in, noisy batch out.

    Implementations are immutable, leave their input alone, keep its shape, dtype and device, draw every sample of
    the batch independently, and take all randomness from ``generator``.
    """

    mixes_samples: ClassVar[bool]
    """Whether a sample's result depends on the other samples of its batch."""

    def __call__(self, clean: Images, *, generator: torch.Generator) -> Images:
        """The noisy batch; ``generator`` lives on the device of ``clean``."""
        ...

    def scaled(self, factor: float) -> Self:
        """The same noise with its level multiplied by ``factor`` >= 0; zero is the identity."""
        ...


@runtime_checkable
class NoiseWithMoments(Noise, Protocol):
    """A noise whose first two moments are known in closed form."""

    def moments(self, clean: Images) -> Moments:
        """Mean and variance of the noisy pixels given ``clean``."""
        ...


@runtime_checkable
class NoiseOnFeatures(Protocol):
    """Features inside a network in, noisy features out; otherwise as a :class:`Noise` of images."""

    @property
    def mixes_samples(self) -> bool:
        """Whether a sample's result depends on the other samples of its batch."""
        ...

    def __call__(self, features: Tensor, *, generator: torch.Generator) -> Tensor:
        """The noisy ``B x C``, ``B x N x C`` or ``B x C x H x W``."""
        ...


@runtime_checkable
class EncoderDecoder(Protocol):
    """A network in two halves, which the modules of Noisy Visual Training plug into."""

    def encode(self, images: Images) -> list[Tensor]:
        """Features ``B x C x H x W`` of every level, finest first."""
        ...

    def decode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """From features of these shapes the image, and after it the decoder's features of each coarser level."""
        ...


class Measure(Protocol):
    """Estimate and truth in, one number per image out."""

    def __call__(self, estimate: Images, truth: Images) -> Float[Tensor, " batch"]:
        """The measure of each image of the batch."""
        ...


class Task(Protocol):
    """A data set and what is measured on it."""

    def __call__(self, model: nn.Module) -> Iterator[tuple[str, float]]:
        """Name and value of each metric of ``model``, a network in evaluation mode."""
        ...
