"""Run a segmenter over a data set, clean or noisy, and keep for each image what it confused."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Integer
from torch import Tensor, nn

from noisewise.contracts import Noise
from noisewise.errors import ArgumentError
from noisewise.measure.segmentation import (
    BoundaryCounts,
    boundary_counts,
    confusion,
    mean_iou,
    mean_iou_difference,
    pixel_accuracy,
)
from noisewise.measure.statistics import Interval
from noisewise.models.backbones import logits
from noisewise.models.preprocess import network_input
from noisewise.tasks.comparable import Progress, ignored
from noisewise.tasks.noisy_batches import Preprocess, add_noise, evaluation_mode

__all__ = ["Batches", "Segmented", "class_maps", "miou_difference", "segment"]

Batches: TypeAlias = Iterable[tuple[Tensor, Tensor]]
"""Images ``B x 3 x H x W`` in [0, 1] with class indices ``B x H x W``, such as a DataLoader that does not shuffle."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """What a segmenter confused, image by image in their order.

    Attributes:
        counts: pixels by true and predicted class, ``N x K x K``.
        boundaries: of boundary IoU, ``N x K`` each, where they were counted.
    """

    counts: Integer[Tensor, "images classes classes"]
    boundaries: BoundaryCounts | None

    @property
    def miou(self) -> float:
        """Mean IoU in percent, of all images together."""
        return 100 * mean_iou(self.counts)

    @property
    def accuracy(self) -> float:
        """Pixels with the right class, in percent."""
        return 100 * pixel_accuracy(self.counts)

    @property
    def boundary_iou(self) -> float:
        """Mean over the classes of the boundary IoU of all images together, in percent; NaN if not counted."""
        if self.boundaries is None:
            return math.nan
        together, either = (part.sum(0).double() for part in self.boundaries)
        return 100 * float((together / either).nanmean())


def segment(
    model: nn.Module,
    batches: Batches,
    classes: int,
    *,
    noise: Noise | None = None,
    seed: int = 0,
    preprocess: Preprocess | None = None,
    boundaries: bool = True,
    progress: Progress = ignored,
) -> Segmented:
    """What ``model`` confuses, in evaluation mode, on its own device and in its own dtype.

    Args:
        model: from images to logits ``B x K x h x w`` of any size, or another output that :func:`class_maps` knows;
            left in the mode it was in.
        batches: images in [0, 1] and labels, 255 where nobody judges, in the same order on every pass.
        classes: how many there are.
        noise: what corrupts the images, if anything; drawn for each image from ``seed`` and its place in the data set.
        seed: of the noise.
        preprocess: from the pixels, corrupted or not, to the input of the network; nothing if None.
        boundaries: count along them, too, which takes longer than all else where there are many classes.
        progress: called after each batch with the number of images done.

    Raises:
        ArgumentError: no batch came, no logits of pixels, or classes that do not fit.
    """
    parts: list[tuple[Tensor, BoundaryCounts | None]] = []
    done = 0
    with evaluation_mode(model), torch.inference_mode():
        for images, labels in batches:
            pixels = images if noise is None else add_noise(images, noise, seed, first=done)
            maps = class_maps(model(network_input(model, pixels, preprocess)), labels.shape[-2:], classes).cpu()
            labels = labels.cpu()
            along = boundary_counts(maps, labels, classes) if boundaries else None
            parts.append((confusion(maps, labels, classes), along))
            done += len(labels)
            progress(done)
    if not parts:
        raise ArgumentError("expected batches of images and labels, got none; pass a DataLoader or a list")
    counts, along_boundaries = zip(*parts, strict=True)
    counted = BoundaryCounts(*map(torch.cat, zip(*along_boundaries, strict=True))) if boundaries else None
    return Segmented(torch.cat(counts), counted)


def miou_difference(first: Segmented, second: Segmented, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean IoU of ``first`` less that of ``second`` in percentage points, with its percentile bootstrap interval.

    Args:
        first: of one model, or under one noise.
        second: of the other, on the same images in the same order.
        level: confidence level, in (0, 1).
        seed: of the resampling.

    Raises:
        ArgumentError: as for `mean_iou_difference`.
    """
    shares = mean_iou_difference(first.counts, second.counts, level=level, seed=seed)
    return Interval(*(100 * share for share in shares))


def class_maps(output: Any, size: Iterable[int], classes: int | None = None) -> Integer[Tensor, "batch height width"]:
    """The class with the highest score at every pixel, the scores enlarged to ``size`` bilinearly before.

    Args:
        output: of a network: logits ``B x K x h x w``, a mapping that has them as ``out`` (torchvision), or an object
            that has them as ``logits`` (transformers).
        size: height and width.
        classes: that the network is expected to know, if that is known.

    Raises:
        ArgumentError: the output has no logits of pixels, or other classes.
    """
    scores = logits(output)
    if scores.ndim != 4:
        raise ArgumentError(
            f"expected logits B x K x h x w of a segmenter, got {tuple(scores.shape)}; choose a network that segments"
        )
    if classes not in (None, scores.shape[1]):
        raise ArgumentError(
            f"expected a network of {classes} classes, got one of {scores.shape[1]}; does it belong to this data set?"
        )
    enlarged: Tensor = F.interpolate(scores.float(), tuple(size), mode="bilinear", align_corners=False)
    return enlarged.argmax(1)
