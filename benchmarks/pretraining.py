"""Small networks pre-trained with one module of Noisy Visual Training more or less, at an equal number of steps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noisewise._rng import make_generator
from noisewise.measure.image import psnr
from noisewise.measure.statistics import student_interval
from noisewise.methods.nvt import (
    PretrainingRecipe,
    choose_unsharp_mask,
    load_pretrained,
    read_pretraining_recipe,
)
from noisewise.studies import sweep
from photographs import cbsd68, decibels, training_photographs, white_noise

__all__ = ["pretrained_start", "pretraining_cells"]

RECIPES = Path(__file__).parent.parent / "recipes"
SIGMAS, SEEDS, TESTED = (25, 50), (0, 1, 2), 16
QUICK = {"steps": 2, "photographs": 8}
VARIANTS = {
    "plain": "plain",
    "mixup": "mixup",
    "noise: fixed": "noise_fixed",
    "noise: types": "noise_types",
    "noise: both": "noise_both",
    "nrl, concatenate": "nrl_concatenate",
    "nrl, add": "nrl_add",
    "nrl and mio": "nrl_mio",
    "pfic": "pfic",
    "nrl, mio and pfic": "nrl_mio_pfic",
    "noisy only, noise of sigma 25": "noisy_only",
}
"""What the tables call the recipes."""
SHARPENED = {"uefp": "plain", "nrl, mio, pfic and uefp": "nrl, mio and pfic"}
"""The same networks with an unsharp mask behind them, chosen without the clean image."""
BLOCKS = {
    "mixup": ("plain", "mixup"),
    "noise_injection": ("noise: fixed", "noise: types", "plain", "noise: both"),
    "nrl_ablation": (
        "plain",
        "nrl, concatenate",
        "nrl, add",
        "nrl and mio",
        "pfic",
        "nrl, mio and pfic",
        "uefp",
        "nrl, mio, pfic and uefp",
        "noise: fixed",
        "noisy only, noise of sigma 25",
    ),
}


def recipe_of(variant: str) -> PretrainingRecipe:
    return read_pretraining_recipe(RECIPES / f"{VARIANTS[variant]}.toml")


def trained(data: Path, variant: str, seed: int, checkpoint: Path, *, steps: int) -> nn.Module:
    """A network by the recipe of a variant; with very few steps, on few photographs, too."""
    recipe = recipe_of(variant)
    recipe = replace(recipe, schedule=replace(recipe.schedule, steps=steps))
    most = QUICK["photographs"] if steps == QUICK["steps"] else None
    return recipe.train(recipe.views(training_photographs(data)[:most], seed), checkpoint)


@dataclass(frozen=True)
class Pretraining:
    """An experiment for a sweep: a variant is trained and tried on unclipped white noise; seconds of the processor."""

    data: Path
    work: Path

    def __call__(self, *, variant: str, seed: int, steps: int, tested: int, device: str) -> dict[str, Any]:
        began, checkpoint = time.process_time(), self.work / f"{variant}-{seed}.checkpoint"
        network = trained(self.data, variant, seed, checkpoint, steps=steps)
        scores: dict[str, Any] = {"seconds": time.process_time() - began}
        checkpoint.unlink()
        for sigma in SIGMAS:
            pairs = [tried(path, index, network, sigma) for path, index in every_fourth(self.data, tested)]
            scores[f"{sigma}"], scores[f"{sigma} sharpened"] = map(list, zip(*pairs, strict=True))
        return scores


def every_fourth(data: Path, count: int) -> list[tuple[Path, int]]:
    """Images of CBSD68 with their places in it, every fourth or fewer."""
    return [(path, index) for index, path in list(enumerate(cbsd68(data)))[:: 68 // count][:count]]


@torch.inference_mode()
def tried(path: Path, index: int, network: nn.Module, sigma: int) -> tuple[float, float]:
    """PSNR as it is and behind an unsharp mask, on an image cut to whole strides of the network."""
    clean, noisy = (x[..., :320, :320] for x in white_noise(path, index, sigma, clipped=False))
    estimate = network(noisy)
    choice = choose_unsharp_mask(noisy, network, sigma / 255, generator=make_generator(index))
    return float(psnr(estimate, clean)), float(psnr(choice.mask(estimate), clean))


def pretraining_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    points = [
        {"variant": variant, "seed": seed, "steps": steps_of(variant, quick=quick), "tested": 2 if quick else TESTED}
        for variant in VARIANTS
        for seed in SEEDS[: 1 if quick else None]
    ]
    rows = sweep(Pretraining(data, work), points, work / "pretraining.jsonl")
    found = {name: [row for row in rows if row["variant"] == name] for name in VARIANTS}
    for name, of in SHARPENED.items():
        found[name] = [row | {f"{sigma}": row[f"{sigma} sharpened"] for sigma in SIGMAS} for row in found[of]]
    return {block: {name: cell(found[name], found[names[0]]) for name in names} for block, names in BLOCKS.items()}


def cell(rows: list[Mapping[str, Any]], first: list[Mapping[str, Any]]) -> dict[str, Any]:
    """PSNR over images, mean of the seeds, and the gain over the first of its block with its interval over seeds."""
    found: dict[str, Any] = {"seconds": round(sum(row["seconds"] for row in rows) / len(rows), 1)}
    for sigma in map(str, SIGMAS):
        means = torch.tensor([row[sigma] for row in rows], dtype=torch.float64)
        others = torch.tensor([row[sigma] for row in first], dtype=torch.float64)
        gains = (means - others).mean(1).tolist()
        found[sigma] = decibels(means.mean(0).tolist()) | {"gain_of_seeds": [round(gain, 3) for gain in gains]}
        if len(gains) > 1 and rows is not first:
            interval = student_interval(gains)
            found[sigma]["gain"] = [round(value, 3) for value in (interval.mean, interval.low, interval.high)]
    return found


def pretrained_start(data: Path, work: Path, *, quick: bool) -> nn.Module:
    """The encoder-decoder of NRL by addition, which is a plain one when pruned, for a learner to start from."""
    variant = "nrl, add"
    steps = steps_of(variant, quick=quick)
    path = work / f"nrl-{steps}.safetensors"
    if not path.is_file():
        recipe_of(variant).save(trained(data, variant, 0, work / "nrl.checkpoint", steps=steps), path, {})
    return load_pretrained(path)


def steps_of(variant: str, *, quick: bool) -> int:
    return QUICK["steps"] if quick else recipe_of(variant).schedule.steps
