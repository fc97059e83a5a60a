"""Thesis Tables 3 and 4: a noisy image made half as large and as large as before, by every pair of methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from noisewise.measure.image import psnr
from photographs import cbsd68, decibels, white_noise

__all__ = ["interpolation_cells"]

SIGMA = 50
SMOOTH = ("bilinear", "bicubic")


def resize(mode: str, images: Tensor, size: tuple[int, int], *, antialias: bool = False) -> Tensor:
    corners = {"align_corners": False, "antialias": antialias} if mode in SMOOTH else {}
    return F.interpolate(images, size, mode=mode, **corners)


DOWN: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    mode: partial(resize, mode) for mode in ("nearest", "area", *SMOOTH)
} | {f"{mode}, antialiased": partial(resize, mode, antialias=True) for mode in SMOOTH}
UP = {mode: partial(resize, mode) for mode in ("nearest", *SMOOTH)}


def interpolation_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """PSNR by the way down and the way up, and of the noisy images."""
    scores: dict[str, dict[str, list[float]]] = {down: {up: [] for up in UP} for down in DOWN}
    noisy_scores = []
    paths = cbsd68(data)[: 4 if quick else None]
    for index, path in enumerate(track(paths, description="interpolation")):
        clean, noisy = white_noise(path, index, SIGMA, clipped=True)
        height, width = clean.shape[-2:]
        noisy_scores.append(float(psnr(noisy, clean)))
        for down, shrink in DOWN.items():
            small = shrink(noisy, (height // 2, width // 2))
            for up, grow in UP.items():
                scores[down][up].append(float(psnr(grow(small, (height, width)), clean)))
    cells = {down: {up: decibels(values) for up, values in of.items()} for down, of in scores.items()}
    return {"noisy": decibels(noisy_scores), **cells}
