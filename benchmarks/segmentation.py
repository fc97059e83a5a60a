"""The small segmenter on CamVid, hardened and not, under every noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from noisewise.models.preprocess import resolve_preprocess
from noisewise.models.small import small_segmenter
from noisewise.tasks.segmentation import Segmentation, Segmented
from noisewise.train.classifier import LabelledPixels

__all__ = ["segmentation_cells"]

CLASSES, SIDE = 11, 180
RIDGE = 1e-3
FORMS = ("plain", "downstream")
"""Without and with a look at what becomes of the outputs of the layers."""
MAY_LOSE = 1.0
"""Points of mIoU of clean validation images."""
LIGHTEST, HEAVIEST, HALVINGS = 16.0, 256.0, 5
"""Between which the weight of clean images is looked for, on a logarithmic scale; neither is tried."""

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Hardening:
    """A trained network and the unlabelled images that it is hardened on."""

    network: nn.Module
    images: Tensor

    def __call__(self, form: str, clean_weight: float, seed: int) -> nn.Module:
        """The hardened network."""
        handle, preprocess = attach(self.network, mode="paired"), resolve_preprocess(self.network)
        options: dict[str, Any] = {"clean_weight": clean_weight, "downstream": form == "downstream", "ridge": RIDGE}
        handle.fit_paired(self.images, HARDENED_WITH, preprocess=preprocess, seed=seed, **options)
        return handle.fuse()


def segmentation_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """mIoU, pixel accuracy and boundary IoU of the test images in percent, mean over the seeds."""
    network, count = trained(lambda: small_segmenter(CLASSES, SIDE), "segmenter"), 4 if quick else None
    with unpacked(data / "camvid.tar") as folder:
        train, validation, test = (camvid(folder, split) for split in ("train", "val", "test"))
    hardening = Hardening(network, with_mirrored(train.images[:count] / 255))
    looks = {form: looks_for_weight(hardening, form, batches(validation, count), quick) for form in FORMS}
    choices = {form: best_of(found) for form, found in looks.items()}
    within = [name for name in FORMS if choices[name]["clean"] >= -MAY_LOSE]
    form = max(within or FORMS, key=lambda name: choices[name]["gaussian"])
    told = {"images": len(hardening.images), "ridge": RIDGE, "hardened_with": HARDENED_WITH, "validation": looks}
    told |= {"form": form, "clean_weight": choices[form]["clean_weight"], "test_images": len(test.images[:count])}
    return told | tested(hardening, choices, form, batches(test, count), quick)


def tested(
    hardening: Hardening, choices: Mapping[str, Figures], chosen: str, test: list[tuple[Tensor, Tensor]], quick: bool
) -> dict[str, Any]:
    """The network as it was and in its chosen form under every noise; in the other form on clean and Gaussian ones."""
    weights = {form: choices[form]["clean_weight"] for form in FORMS}
    networks = {
        form: [hardening(form, weights[form], seed) for seed in SEEDS[: 1 if quick else None]] for form in FORMS
    }
    cells: dict[str, dict[str, Any]] = {name: {} for name in ("baseline", "paired", "other_form")}
    for name, noise in track(conditions(quick=quick).items(), description="segmentation"):
        task = Segmentation(test, CLASSES, noise, preprocess=resolve_preprocess(hardening.network))
        before = task.find(hardening.network)
        cells["baseline"][name] = cell([before])
        for form in FORMS if name in ("clean", "gaussian") else (chosen,):
            after = [task.find(one) for one in networks[form]]
            column = "paired" if form == chosen else "other_form"
            cells[column][name] = cell(after) | {"over_baseline": points_over(after, before)}
    return cells


def looks_for_weight(
    hardening: Hardening, form: str, validation: list[tuple[Tensor, Tensor]], quick: bool
) -> list[Figures]:
    """What clean and noisy validation images gain with each weight that was tried."""
    preprocess = resolve_preprocess(hardening.network)
    clean = Segmentation(validation, CLASSES, preprocess=preprocess, boundaries=False)
    tasks = {name: replace(clean, noise=noise) for name, noise in conditions(quick=True).items()}
    before = {name: task.find(hardening.network) for name, task in tasks.items()}
    light, heavy, looks = LIGHTEST, HEAVIEST, list[Figures]()
    for _ in track(range(1 if quick else HALVINGS), description=f"clean weight, {form}"):
        weight = round(math.sqrt(light * heavy), 1)
        network = hardening(form, weight, SEEDS[0])
        gains = {name: points_over([task.find(network)], before[name])["mean"] for name, task in tasks.items()}
        light, heavy = (light, weight) if gains["clean"] >= -MAY_LOSE else (weight, heavy)
        looks.append({"clean_weight": weight} | gains)
    return looks


def best_of(looks: Sequence[Figures]) -> Figures:
    """The lightest weight that loses no more than it may, or the heaviest that was tried."""
    by_weight = sorted(looks, key=lambda look: look["clean_weight"])
    return next((look for look in by_weight if look["clean"] >= -MAY_LOSE), by_weight[-1])


def batches(pixels: LabelledPixels, count: int | None) -> list[tuple[Tensor, Tensor]]:
    return list(zip((pixels.images[:count] / 255).split(8), pixels.labels[:count].split(8), strict=True))


def cell(runs: Sequence[Segmented]) -> dict[str, float]:
    names = ("miou", "accuracy", "boundary_iou")
    return {name: round(sum(getattr(run, name) for run in runs) / len(runs), 2) for name in names}


def points_over(runs: Sequence[Segmented], other: Segmented) -> dict[str, Any]:
    """Of mIoU, all seeds counted together."""
    together = torch.stack([run.counts for run in runs]).sum(0)
    found = mean_iou_difference(together, len(runs) * other.counts)
    return interval(Interval(*(100 * value for value in found)))
