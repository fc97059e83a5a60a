"""The shipped network at every quality, on real camera noise."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

import noisewise
from noisewise.data import find_pairs
from noisewise.data.patches import load_unit
from noisewise.measure.image import psnr
from photographs import corner, decibels, gain

__all__ = ["adaptation_cells"]


def adaptation_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """PSNR on PolyU, gain over ``fast`` and seconds a crop, at every quality.

    ``best`` does with the network what ``balanced`` does, and is measured with it.
    """
    pairs = find_pairs(data / "polyu")[: 3 if quick else None]
    scores: dict[str, list[float]] = {quality: [] for quality in ("fast", "balanced")}
    seconds: dict[str, list[float]] = {quality: [] for quality in scores}
    for pair in track(pairs, description="polyu"):
        clean, noisy = (corner(load_unit(path)[None], quick=quick) for path in (pair.clean_path, pair.noisy_path))
        for quality, values in scores.items():
            began = time.perf_counter()
            values.append(float(psnr(torch.as_tensor(noisewise.denoise(noisy, quality=quality).image), clean)))
            seconds[quality].append(time.perf_counter() - began)
    rows = {quality: _row(scores, seconds, quality) for quality in scores}
    return {"polyu": rows | {"best": rows["balanced"]}}


def _row(scores: Mapping[str, list[float]], seconds: Mapping[str, list[float]], quality: str) -> dict[str, Any]:
    worst = min(a - b for a, b in zip(scores[quality], scores["fast"], strict=True))
    return decibels(scores[quality]) | {
        "over_fast": gain(scores[quality], scores["fast"]),
        "worst_over_fast": round(worst, 3),
        "seconds": round(sorted(seconds[quality])[len(seconds[quality]) // 2], 2),
    }
