"""Small networks pre-trained with one module of Noisy Visual Training more or less, at an equal number of steps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from noisewise._rng import make_generator
from noisewise.data.patches import PatchSampler
from noisewise.measure.image import psnr
from noisewise.measure.statistics import student_interval
from noisewise.methods.nvt import Modules, NoisyViews, choose_unsharp_mask, pretrain, thesis_noise
from noisewise.models.unet import UNet
from noisewise.noise import OneOf, parse_noise
from noisewise.studies import grid_points, sweep
from noisewise.train import Schedule
from photographs import cbsd68, decibels, training_photographs, white_noise

__all__ = ["pretrained_start", "pretraining_cells"]

WIDTHS, SIGMAS = (32, 48, 64), (25, 50)
SEEDS, STEPS, TESTED = (0, 1, 2), 800, 16
KINDS = ("gaussian:sigma=25", "poisson:gain=4", "rows:sigma=20", "columns:sigma=20", "quantisation:step=32")
POOLS = {
    "fixed": parse_noise("gaussian:sigma=25"),
    "levels": parse_noise("gaussian:sigma=0..75"),
    "types": OneOf(tuple(map(parse_noise, KINDS))),
    "both": thesis_noise(),
}
PLAIN = Modules(joining=None)


@dataclass(frozen=True)
class Variant:
    """One way to pre-train."""

    modules: Modules = PLAIN
    pool: str = "levels"
    mixup: float = 0.0


VARIANTS = {
    "plain": Variant(),
    "mixup": Variant(mixup=0.5),
    "noise: fixed": Variant(pool="fixed"),
    "noise: types": Variant(pool="types"),
    "noise: both": Variant(pool="both"),
    "nrl, concatenate": Variant(Modules("concatenate")),
    "nrl, add": Variant(Modules("add")),
    "nrl and mio": Variant(Modules("concatenate", information=0.01)),
    "pfic": Variant(Modules(None, pyramid=True)),
    "nrl, mio and pfic": Variant(Modules("concatenate", information=0.01, pyramid=True)),
    "noisy only, noise of sigma 25": Variant(Modules(None, target="other_view"), pool="fixed"),
}
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


def views(data: Path, variant: Variant, seed: int, steps: int) -> NoisyViews:
    schedule = Schedule(steps, 8, 64, 1e-3, warmup=min(100, steps), decay=0.5, ema=0.995)
    photographs = training_photographs(data)[: 8 if steps < STEPS else None]
    return NoisyViews(PatchSampler(photographs, schedule.patch), schedule, seed, POOLS[variant.pool], variant.mixup)


@dataclass(frozen=True)
class Pretraining:
    """An experiment for a sweep: a variant is trained and tried on unclipped white noise."""

    data: Path
    work: Path

    def __call__(self, *, variant: str, seed: int, steps: int, tested: int, device: str) -> dict[str, Any]:
        told, began = VARIANTS[variant], time.perf_counter()
        checkpoint = self.work / f"{variant}-{seed}.checkpoint"
        network = pretrain(told.modules, views(self.data, told, seed, steps), checkpoint, widths=WIDTHS)
        seconds = time.perf_counter() - began
        checkpoint.unlink()
        scores: dict[str, Any] = {"seconds": seconds}
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
    grid = {"variant": list(VARIANTS), "seed": SEEDS[: 1 if quick else None]}
    points = grid_points(grid | {"steps": [2 if quick else STEPS], "tested": [2 if quick else TESTED]})
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
    path = work / "nrl.safetensors"
    if not path.is_file():
        told = VARIANTS["nrl, add"]
        data_ = views(data, told, 0, 2 if quick else STEPS)
        network = pretrain(told.modules, data_, work / "nrl.checkpoint", widths=WIDTHS)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    start = UNet(3, WIDTHS)
    start.load_state_dict(load_file(path))
    return start
