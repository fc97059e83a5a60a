"""The small segmenter on CamVid, hardened and not, under every noise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor, nn

from cells import interval
from conditions import HARDENED_WITH, SEEDS, conditions
from denoiserep import trained
from labelled_sets import camvid, unpacked, with_mirrored
from noisewise.measure.segmentation import mean_iou_difference
from noisewise.measure.statistics import Interval
from noisewise.methods.denoiserep import attach
from noisewise.models.preprocess import Preprocess, resolve_preprocess
from noisewise.models.small import small_segmenter
from noisewise.tasks.segmentation import Segmentation, Segmented

__all__ = ["segmentation_cells"]

CLASSES, SIDE = 11, 180
CLEAN_WEIGHT, RIDGE = 96.0, 1e-3
"""Chosen on the validation images, of which clean ones lose about a point with them."""


def segmentation_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """mIoU, pixel accuracy and boundary IoU of the test images in percent, mean over the seeds."""
    network = trained(lambda: small_segmenter(CLASSES, SIDE), "segmenter")
    preprocess = resolve_preprocess(network)
    with unpacked(data / "camvid.tar") as folder:
        train, test = camvid(folder, "train"), camvid(folder, "test")
    count = 4 if quick else None
    images = with_mirrored(train.images[:count] / 255)
    batches = list(zip((test.images[:count] / 255).split(8), test.labels[:count].split(8), strict=True))
    began = time.perf_counter()
    hardened = [harden(network, images, preprocess, seed) for seed in (SEEDS[:1] if quick else SEEDS)]
    told = {"images": len(images), "clean_weight": CLEAN_WEIGHT, "ridge": RIDGE, "hardened_with": HARDENED_WITH}
    told |= {"fit_seconds": round((time.perf_counter() - began) / len(hardened), 1)}
    baseline, paired = {}, {}
    for name, noise in track(conditions(quick=quick).items(), description="segmentation"):
        task = Segmentation(batches, CLASSES, noise, preprocess=preprocess)
        before, after = task.find(network), [task.find(one) for one in hardened]
        baseline[name], paired[name] = cell([before]), cell(after) | {"over_baseline": points_over(after, before)}
    return told | {"test_images": len(test.images[:count]), "baseline": baseline, "paired": paired}


def harden(network: nn.Module, images: Tensor, preprocess: Preprocess, seed: int) -> nn.Module:
    handle = attach(network, mode="paired")
    handle.fit_paired(images, HARDENED_WITH, preprocess=preprocess, clean_weight=CLEAN_WEIGHT, ridge=RIDGE, seed=seed)
    return handle.fuse()


def cell(runs: Sequence[Segmented]) -> dict[str, float]:
    names = ("miou", "accuracy", "boundary_iou")
    return {name: round(sum(getattr(run, name) for run in runs) / len(runs), 2) for name in names}


def points_over(runs: Sequence[Segmented], other: Segmented) -> dict[str, Any]:
    """Of mIoU, all seeds counted together."""
    together = torch.stack([run.counts for run in runs]).sum(0)
    found = mean_iou_difference(together, len(runs) * other.counts)
    return interval(Interval(*(100 * value for value in found)))
