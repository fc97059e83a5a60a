"""Two noisy views of the same clean patches at every step, and patches mixed from two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from noisewise._rng import place_generator
from noisewise.contracts import Images
from noisewise.data.patches import PatchSampler
from noisewise.errors import ArgumentError
from noisewise.methods.nvt.pool import thesis_noise
from noisewise.noise import ImageNoise
from noisewise.train import Schedule

__all__ = ["NoisyViews", "Views", "mixed_up"]


class Views(NamedTuple):
    """One step's training data, ``B x 3 x H x W`` each."""

    clean: Tensor
    first: Tensor
    second: Tensor


@dataclass(frozen=True, eq=False)
class NoisyViews(Dataset[Views]):
    """Clean patches under two draws of the noise, a pure function of seed and step.

    Attributes:
        patches: where clean patches come from, flipped and turned at random.
        schedule: number of steps, and size of the batch.
        seed: of everything random.
        noise: drawn twice for every patch.
        mixup: share of the patches that are mixed with another one.
    """

    patches: PatchSampler
    schedule: Schedule
    seed: int
    noise: ImageNoise = field(default_factory=thesis_noise)
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.mixup <= 1:
            raise ArgumentError(f"expected a share of patches to mix in [0, 1], got {self.mixup}")

    def __len__(self) -> int:
        return self.schedule.steps

    def __getitem__(self, step: int) -> Views:
        generator = place_generator(self.seed, step)
        clean = mixed_up(self.patches.draw(self.schedule.batch, generator), self.mixup, generator)
        return Views(clean, *(self.noise(clean, generator=generator) for _ in range(2)))


def mixed_up(images: Images, share: float, generator: torch.Generator) -> Images:
    """``l x + (1 - l) x'`` for that share of the images, x' the one before in the batch and l uniform in [0, 1].

    Source: Zhang et al., mixup, ICLR 2018, with alpha 1, on clean images.
    """
    chosen, weight = torch.rand(2, len(images), 1, 1, 1, generator=generator).to(images)
    return torch.lerp(images, images.roll(1, 0), (chosen < share) * (1 - weight))
