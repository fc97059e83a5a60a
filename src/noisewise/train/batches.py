"""Training batches as a pure function of seed and step: a resumed run sees exactly what an unbroken one would."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from noisewise._rng import child_generator, make_generator
from noisewise.data.patches import PatchSampler
from noisewise.train.recipe import Recipe, eight_bit_share

__all__ = ["Batch", "NoisyPatches", "local_level"]

_STRIDE_BETWEEN_SEEDS = 1_000_003


class Batch(NamedTuple):
    """One step's training data."""

    clean: Tensor
    noisy: Tensor
    level: Tensor
    """True local standard deviation of the noise, ``B x 1 x H x W``."""
    told: Tensor
    """Whether the network is told the level of an image, ``B x 1 x 1 x 1``."""
    flat: Tensor
    """Whether it would be told its mean instead of the map, ``B x 1 x 1 x 1``."""


def local_level(noise: Tensor, window: int = 17) -> Tensor:
    """Root mean square of ``noise`` over channels and a square ``window``: ``B x C x H x W`` to ``B x 1 x H x W``."""
    energy = noise.square().mean(dim=1, keepdim=True)
    return F.avg_pool2d(energy, window, stride=1, padding=window // 2, count_include_pad=False).sqrt()


class NoisyPatches(Dataset[Batch]):
    """The batch of every step; the index is the step.

    Args:
        patches: where clean patches come from.
        recipe: noise and batch size.
        seed: of the whole run.
    """

    def __init__(self, patches: PatchSampler, recipe: Recipe, seed: int) -> None:
        self.patches = patches
        self.recipe = recipe
        self.seed = seed
        self.save = eight_bit_share(recipe.eight_bit)

    def __len__(self) -> int:
        return self.recipe.schedule.steps

    def __getitem__(self, step: int) -> Batch:
        generator = child_generator(make_generator(self.seed * _STRIDE_BETWEEN_SEEDS + step))
        patches = self.patches.draw(self.recipe.schedule.batch, generator)
        greys = round(self.recipe.grey * len(patches))
        parts = (patches[:greys].mean(dim=1, keepdim=True), patches[greys:])
        noisy = [self.recipe.noise(part, generator=generator).expand(-1, 3, -1, -1) for part in parts if len(part)]
        clean = torch.cat([part.expand(-1, 3, -1, -1) for part in parts])
        unclipped = torch.cat(noisy)
        saved = self.save(unclipped, generator=generator)
        told, flat = torch.rand(2, len(clean), 1, 1, 1, generator=generator) < 0.5
        return Batch(clean, saved, local_level(unclipped - clean), told, flat)
