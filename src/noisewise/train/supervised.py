"""The training loop: noisy patches in, clean patches as the target."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset

from noisewise._rng import make_generator
from noisewise.errors import CheckpointError, TrainingError
from noisewise.models import BlindDenoiser
from noisewise.train.batches import Batch, NoisyPatches
from noisewise.train.checkpoint import load_checkpoint, save_checkpoint
from noisewise.train.recipe import Recipe

__all__ = ["Progress", "denoising_loss", "train_denoiser"]

Progress = Callable[[int, float], None]
"""Called after every step with the number of steps done and the loss."""

_CHARBONNIER = 1e-3
_MAP_WEIGHT = 0.01
_LEVEL_FLOOR = 2 / 255
_GRADIENT_NORM = 0.5


def charbonnier(difference: Tensor) -> Tensor:
    """``mean sqrt(d^2 + eps^2)``: absolute error, smooth at zero (Lai et al. 2017)."""
    return (difference.square() + _CHARBONNIER**2).sqrt().mean()


def told_map(level: Tensor, generator: torch.Generator) -> Tensor:
    """What a user might tell the network: the true map for half of the images, its mean for the others."""
    flat = level.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().expand_as(level)
    choice = torch.rand(len(level), 1, 1, 1, generator=generator).to(level.device)
    return torch.where(choice < 0.5, level, flat)


def denoising_loss(model: BlindDenoiser, batch: Batch, generator: torch.Generator) -> Tensor:
    """Charbonnier loss of the image plus a small one on the logarithm of the noise map.

    Half of the images are denoised with the map that the network estimated, half with one that it was told, so that
    it serves both uses.
    """
    estimate = model.estimate_noise_map(batch.noisy)
    told = torch.rand(len(estimate), 1, 1, 1, generator=generator).to(estimate.device) < 0.5
    noise_map = torch.where(told, told_map(batch.level, generator), estimate)
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
    accelerator = Accelerator(mixed_precision=mixed_precision, cpu=not torch.cuda.is_available())
    model = _initial_network(recipe, data.seed, accelerator.device)
    decay = get_ema_multi_avg_fn(recipe.schedule.ema)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=decay, use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.schedule.learning_rate, weight_decay=0.0)
    networks: dict[str, nn.Module] = {"model": model, "average": average}
    run = run_identity(data)
    done = load_checkpoint(checkpoint, run, networks, optimizer) if checkpoint.is_file() else 0
    if done > recipe.schedule.steps:
        raise CheckpointError(
            f"{checkpoint} is at step {done}, beyond {recipe.schedule.steps}; delete it to start anew"
        )
    for step, batch in _batches(data, done, accelerator.device):
        loss = _step(accelerator, model, optimizer, batch, recipe.schedule.rate(step), make_generator(step))
        average.update_parameters(model)
        if (step + 1) % save_every == 0 or step + 1 == recipe.schedule.steps:
            save_checkpoint(checkpoint, step + 1, run, networks, optimizer)
        progress(step + 1, loss)
    return cast("BlindDenoiser", average.module).cpu().eval()


def _initial_network(recipe: Recipe, seed: int, device: torch.device) -> BlindDenoiser:
    with torch.random.fork_rng(devices=[]):  # torch's initialisers take no generator
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the caller's GPUs, too
        model = BlindDenoiser(**recipe.model)
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return, unused-ignore]


def run_identity(data: NoisyPatches) -> str:
    """A short hash of network, noise, photographs and seed; how long and how fast may be changed on the way."""
    recipe, schedule = data.recipe, data.recipe.schedule
    sizes = [schedule.batch, schedule.patch, schedule.ema]
    noise = [repr(recipe.noise), recipe.grey, recipe.eight_bit]
    text = json.dumps([recipe.model, sizes, noise, data.patches.names, data.seed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _batches(data: NoisyPatches, start: int, device: torch.device) -> Iterator[tuple[int, Batch]]:
    workers = 0 if device.type == "cpu" else 8  # on a CPU the network needs all cores itself
    steps = range(start, len(data))
    loader = DataLoader(
        Subset(data, steps),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=make_generator(start),  # else the loader draws from the caller's global generator
    )
    for step, batch in zip(steps, loader, strict=True):
        yield step, Batch(*(part.to(device, non_blocking=True) for part in batch))


def _step(
    accelerator: Accelerator,
    model: BlindDenoiser,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    rate: float,
    generator: torch.Generator,
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    with accelerator.autocast():
        loss = denoising_loss(model, batch, generator)
    accelerator.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), _GRADIENT_NORM)
    optimizer.step()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value}; lower learning_rate in the recipe and run again from the last checkpoint"
        )
    return value
