"""Training where no clean image exists: pixels of a noisy image learn to tell their neighbours.

Two images of half the size, made of different pixels of every 2 x 2 cell, show nearly the same scene with noise of
their own: one is the input, the other the target. Source: Lehtinen et al., ICML 2018 (Noise2Noise); Huang et al., CVPR
2021 (Neighbor2Neighbor).
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from noisewise._rng import place_generator
from noisewise.contracts import Images
from noisewise.data.patches import PatchSampler
from noisewise.models import BlindDenoiser
from noisewise.surgery import fingerprint
from noisewise.train import Schedule
from noisewise.train.loop import Progress, Run, optimise

__all__ = ["NOISY_ONLY", "NoisyCrops", "draw_neighbours", "neighbour_loss", "subsampled", "train_noisy_only"]

NOISY_ONLY = Schedule(steps=1500, batch=8, patch=128, learning_rate=2e-4, warmup=100, decay=0.5, ema=0.995)
"""Enough from the weights of a trained network, at a guess; not tuned."""

_CONSISTENCY = 2.0
"""Weight of the second term of the loss, as its authors have it for synthetic noise."""

Choice = Int[Tensor, "images cells"]


class NoisyBatch(NamedTuple):
    """One step's training data."""

    noisy: Tensor


@dataclass(frozen=True, eq=False)
class NoisyCrops(Dataset[NoisyBatch]):
    """Crops of noisy images, a pure function of seed and step.

    Attributes:
        patches: where they come from; their sides are even.
        schedule: number of steps, and size of the batch.
        seed: of the crops.
    """

    patches: PatchSampler
    schedule: Schedule
    seed: int

    def __len__(self) -> int:
        return self.schedule.steps

    def __getitem__(self, step: int) -> NoisyBatch:
        return NoisyBatch(self.patches.draw(self.schedule.batch, place_generator(self.seed, step)))


def draw_neighbours(images: Images, generator: torch.Generator) -> tuple[Choice, Choice]:
    """For every 2 x 2 cell of each image two different ones of its four pixels that share a side.

    Args:
        images: ``B x C x H x W``, H and W even.
        generator: of the choice, on the CPU.

    Returns:
        Numbers from 0 to 3, row by row in the cell, ``B x (H W / 4)`` each.
    """
    count, cells = len(images), images.shape[-2] * images.shape[-1] // 4
    first = torch.randint(4, (count, cells), generator=generator)
    beside = torch.randint(2, (count, cells), generator=generator)
    second = first ^ (1 + beside)  # another column, or another row
    return first.to(images.device), second.to(images.device)


def subsampled(images: Images, choice: Choice) -> Float[Tensor, "batch channels _ _"]:
    """The chosen pixel of every 2 x 2 cell, ``B x C x H/2 x W/2``."""
    height, width = images.shape[-2] // 2, images.shape[-1] // 2
    cells = images.reshape(*images.shape[:2], height, 2, width, 2).transpose(-3, -2)  # ... H/2 W/2 2 2
    picked = cells.reshape(*images.shape[:2], height * width, 4).take_along_dim(choice[:, None, :, None], dim=-1)
    return picked.reshape(*images.shape[:2], height, width)


def neighbour_loss(model: BlindDenoiser, batch: NoisyBatch, generator: torch.Generator) -> Tensor:
    """``<(f(g1) - g2)^2> + 2 <(f(g1) - g2 - (h1 - h2))^2>``, g and h the two halves of ``y`` and of ``f(y)``.

    The second term takes back that neighbours do not show quite the same. No gradient goes through h: of both terms
    together the least value would be that of doing nothing, but training does not rest there. It rests at a denoiser
    where the noise has mean zero and is independent from pixel to pixel; coarser grain is learnt as if it were scene.
    """
    first, second = draw_neighbours(batch.noisy, generator)
    source, target = subsampled(batch.noisy, first), subsampled(batch.noisy, second)
    with torch.no_grad():
        whole = model(batch.noisy).image.float()
    difference = model(source).image.float() - target
    expected = subsampled(whole, first) - subsampled(whole, second)
    loss: Tensor = difference.square().mean() + _CONSISTENCY * (difference - expected).square().mean()
    return loss


def train_noisy_only(
    model: BlindDenoiser,
    data: NoisyCrops,
    checkpoint: Path,
    *,
    progress: Progress = lambda step, loss: None,
    save_every: int = 100,
    mixed_precision: str = "bf16",
) -> BlindDenoiser:
    """A denoiser for the noise of one's own images, from these alone; resumes from ``checkpoint`` if there is one.

    Args:
        model: where to start, such as the network that ships with the package; left as it is.
        data: what is trained on.
        checkpoint: where the state is kept.
        progress: told after every step.
        save_every: steps between checkpoints.
        mixed_precision: ``"bf16"`` or ``"no"``.

    Raises:
        CheckpointError: the checkpoint belongs to another run, or to a longer one.
        TrainingError: the loss is not finite.
    """
    pupil = copy.deepcopy(model).requires_grad_(True).train()
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=data.schedule.learning_rate, weight_decay=0.0)
    run = Run(_run_identity(model, data), pupil, optimizer, neighbour_loss, data, data.schedule)
    return optimise(run, checkpoint, progress=progress, save_every=save_every, mixed_precision=mixed_precision)


def _run_identity(model: BlindDenoiser, data: NoisyCrops) -> str:
    """A short hash of initial state, images and seed; how long and how fast may be changed on the way."""
    settings = [data.schedule.batch, data.schedule.patch, data.schedule.ema, data.seed]
    text = f"noisy only {fingerprint(model)} {data.patches.names} {settings}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
