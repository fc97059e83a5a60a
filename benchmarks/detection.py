"""The small detector on COCO256, hardened and not, under every noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize

from cells import interval
from conditions import HARDENED_WITH, SEEDS, conditions
from denoiserep import trained
from labelled_sets import coco_people, unpacked, with_mirrored
from noisewise.measure.detection import Detected, Truth, average_precision, resampled_precision
from noisewise.measure.statistics import percentile_interval
from noisewise.methods.denoiserep import attach
from noisewise.models.small import small_detector
from noisewise.tasks.detection import Detection

__all__ = ["detection_cells"]

CLASSES, SIDE = 2, 256
CLEAN_WEIGHT = 8.0
RESAMPLES = 100

Run = tuple[list[Detected], list[Truth]]


def detection_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """AP and AP at an overlap of 0.5 of people on the validation images in percent, mean over the seeds."""
    network = trained(lambda: small_detector(CLASSES, SIDE), "detector")
    with unpacked(data / "coco256.tar") as folder:
        train, test = coco_people(folder, "train2017"), coco_people(folder, "val2017")
    train, test = (train[:4], test[:8]) if quick else (train, test)
    images = with_mirrored(torch.stack([square(image) for image, _ in train]))
    hardened = []
    for seed in SEEDS[:1] if quick else SEEDS:
        handle = attach(network, mode="paired")
        handle.fit_paired(images, HARDENED_WITH, clean_weight=CLEAN_WEIGHT, seed=seed)
        hardened.append(handle.fuse())
    told = {"images": len(images), "test_images": len(test), "clean_weight": CLEAN_WEIGHT}
    baseline, paired = {}, {}
    for name, noise in track(conditions(quick=quick).items(), description="detection"):
        task = Detection(test, noise)
        before, after = task.find(network), [task.find(one) for one in hardened]
        baseline[name] = cell([before])
        paired[name] = cell(after) | {"over_baseline": points_over(after, before, 5 if quick else RESAMPLES)}
    return told | {"hardened_with": HARDENED_WITH, "resamples": RESAMPLES, "baseline": baseline, "paired": paired}


def square(image: Tensor) -> Tensor:
    """The middle of an image, its shorter side as the network takes it."""
    return center_crop(resize(image, [SIDE]), [SIDE]).clamp(0, 1)


def cell(runs: Sequence[Run]) -> dict[str, float]:
    scores = np.mean([average_precision(*run) for run in runs], axis=0)
    return {name: round(float(score), 2) for name, score in zip(("ap", "ap50"), scores, strict=True)}


def points_over(runs: Sequence[Run], other: Run, resamples: int) -> dict[str, Any]:
    """Of AP; the same images are drawn for all."""
    drawn, others = ([resampled_precision(*run, resamples=resamples) for run in of] for of in (runs, [other]))
    points = np.mean([average_precision(*run).ap for run in runs]) - average_precision(*other).ap
    return interval(percentile_interval(float(points), np.mean(drawn, axis=0) - others[0]))
