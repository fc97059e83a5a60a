"""Clean photographs of the denoising benchmarks, and the protocol's noise on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisewise.data.patches import load_unit
from noisewise.measure.statistics import bootstrap_mean, paired_bootstrap

__all__ = ["cbsd68", "corner", "decibels", "gain", "training_photographs", "white_noise"]

SEED = 0


def cbsd68(data: Path) -> list[Path]:
    """The 68 test images, in sorted order."""
    stems = set((data / "cbsd68.txt").read_text().split())
    return sorted(path for path in (data / "bsds500").rglob("*.jpg") if path.stem in stems)


def training_photographs(data: Path) -> list[Path]:
    """The other 432."""
    return sorted(set((data / "bsds500").rglob("*.jpg")) - set(cbsd68(data)))


def white_noise(path: Path, index: int, sigma: int, *, clipped: bool) -> tuple[Tensor, Tensor]:
    """A clean image and its noisy version, ``1 x 3 x H x W`` each, in [0, 1] or beyond.

    Noise is drawn from ``numpy.random.default_rng([0, index])`` in the shape H x W x 3.
    """
    clean = load_unit(path)[None]
    drawn = np.random.default_rng([SEED, index]).standard_normal((*clean.shape[-2:], 3))
    noisy = clean + (sigma / 255 * torch.from_numpy(drawn)).movedim(-1, 0)[None].float()
    return clean, (noisy.clamp(0, 1) * 255).round() / 255 if clipped else noisy


def corner(image: Tensor, *, quick: bool) -> Tensor:
    """All of it, or what is enough for a smoke test."""
    side = slice(64 if quick else None)
    return image[..., side, side]


def decibels(values: Sequence[float]) -> dict[str, Any]:
    """Mean with its interval over images."""
    found = bootstrap_mean(values, seed=SEED)
    return {"psnr": round(found.mean, 3), "ci95": [round(found.low, 3), round(found.high, 3)]}


def gain(values: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
    """First minus second on the same images, with its interval."""
    found = paired_bootstrap(values, others, seed=SEED)
    return {"mean": round(found.mean, 3), "ci95": [round(found.low, 3), round(found.high, 3)]}
