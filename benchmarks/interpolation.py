"""Thesis Tables 3 and 4: a noisy image made half as large and as large as before, by every pair of methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from noisewise.measure.image import psnr
from photographs import cbsd68, decibels, white_noise

__all__ = ["interpolation_cells"]

SIGMA = 50
CODES = {
    "nearest": cv2.INTER_NEAREST,
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}
"""OpenCV's, whose areas are exact where a side is odd; torch's windows then overlap."""


def resize(mode: str, images: Tensor, size: tuple[int, int]) -> Tensor:
    pixels = cv2.resize(images[0].movedim(0, -1).contiguous().numpy(), size[::-1], interpolation=CODES[mode])
    return torch.from_numpy(pixels).movedim(-1, 0)[None]


def antialiased(mode: str, images: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(images, size, mode=mode, align_corners=False, antialias=True)


Resize = Callable[[Tensor, tuple[int, int]], Tensor]
DOWN: dict[str, Resize] = {mode: partial(resize, mode) for mode in CODES}
DOWN |= {f"{mode}, antialiased": partial(antialiased, mode) for mode in ("bilinear", "bicubic")}
UP: dict[str, Resize] = {mode: partial(resize, mode) for mode in CODES if mode != "area"}


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
