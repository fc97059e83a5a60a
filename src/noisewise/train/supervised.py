"""Supervised training of the denoiser: noisy patches in, clean patches as the target."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from noisewise._rng import initialised
from noisewise.models import BlindDenoiser
from noisewise.train.batches import Batch, NoisyPatches
from noisewise.train.loop import Progress, Run, optimise
from noisewise.train.recipe import Recipe

__all__ = ["denoising_loss", "train_denoiser"]

_CHARBONNIER = 1e-3
_MAP_WEIGHT = 0.01
_LEVEL_FLOOR = 2 / 255


def charbonnier(difference: Tensor) -> Tensor:
    """``mean sqrt(d^2 + eps^2)``: absolute error, smooth at zero (Lai et al. 2017)."""
    return (difference.square() + _CHARBONNIER**2).sqrt().mean()


def told_map(level: Tensor, flat: Tensor) -> Tensor:
    """What a user might tell the network: the true map, or its mean where ``flat``."""
    mean = level.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().expand_as(level)
    return torch.where(flat, mean, level)


def denoising_loss(model: BlindDenoiser, batch: Batch, generator: torch.Generator) -> Tensor:
    """Charbonnier loss of the image plus a small one on the logarithm of the noise map.

    Half of the images are denoised with the map that the network estimated, half with one that it was told, so that
    it serves both uses.
    """
    estimate = model.estimate_noise_map(batch.noisy)
    noise_map = torch.where(batch.told, told_map(batch.level, batch.flat), estimate)
    restored = model(batch.noisy, noise_map).image.float()
    log_ratio = torch.log((estimate.float() + _LEVEL_FLOOR) / (batch.level + _LEVEL_FLOOR))
    return charbonnier(restored - batch.clean) + _MAP_WEIGHT * log_ratio.abs().mean()


def train_denoiser(
    recipe: Recipe,
    data: NoisyPatches,
    checkpoint: Path,
    *,
    progress: Progress = lambda step, loss: None,
    save_every: int = 250,
    mixed_precision: str = "bf16",
) -> BlindDenoiser:
    """Train until the recipe's last step, from ``checkpoint`` if there is one, and return the averaged network.

    The run depends only on recipe, data and seed: killed and started again, it ends bit for bit where an unbroken one
    on the same hardware would.

    Raises:
        CheckpointError: the checkpoint belongs to another run, or to a longer one.
        TrainingError: the loss is not finite.
    """
    model = initialised(lambda: BlindDenoiser(**recipe.model), data.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.schedule.learning_rate, weight_decay=0.0)
    run = Run(run_identity(data), model, optimizer, denoising_loss, data, recipe.schedule)
    return optimise(run, checkpoint, progress=progress, save_every=save_every, mixed_precision=mixed_precision)


def run_identity(data: NoisyPatches) -> str:
    """A short hash of network, noise, photographs and seed; how long and how fast may be changed on the way."""
    recipe, schedule = data.recipe, data.recipe.schedule
    sizes = [schedule.batch, schedule.patch, schedule.ema]
    noise = [repr(recipe.noise), data.patches.enlarged, recipe.grey, recipe.eight_bit]
    text = json.dumps([recipe.model, sizes, noise, data.patches.names, data.seed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
