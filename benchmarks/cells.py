"""Accuracies of several seeds on the same images, as cells of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from noisewise.measure.statistics import Interval, bootstrap_mean, paired_bootstrap

__all__ = ["Hits", "accuracy", "interval", "points_over"]

Hits = Sequence[Sequence[int]]
"""For each seed, 1 for every image that was recognised."""


def accuracy(runs: Hits) -> dict[str, Any]:
    """In percent, mean over the seeds, with its 95 % interval over the images, and that of each seed."""
    seeds = [round(100 * sum(run) / len(run), 2) for run in runs]
    return interval(bootstrap_mean(_mean(runs), seed=0)) | {"seeds": seeds}


def points_over(runs: Hits, others: Hits) -> dict[str, Any]:
    """First minus second in percentage points, on the same images."""
    return interval(paired_bootstrap(_mean(runs), _mean(others), seed=0))


def interval(found: Interval) -> dict[str, Any]:
    """JSON-ready, two decimals."""
    return {"mean": round(found.mean, 2), "ci95": [round(found.low, 2), round(found.high, 2)]}


def _mean(runs: Hits) -> list[float]:
    return (100 * torch.tensor(runs, dtype=torch.float64).mean(0)).tolist()
