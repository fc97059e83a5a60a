"""How well a map of classes fits the truth: confusion, mean intersection over union, pixel accuracy, boundary IoU.

All of them come from counts that are kept for every image, so that a set is judged as the field does it, by the counts
of all images together, and a confidence interval can be had by drawing images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from noisewise.errors import ArgumentError
from noisewise.measure.statistics import Interval, percentile_interval

__all__ = [
    "IGNORED",
    "BoundaryCounts",
    "boundary",
    "boundary_counts",
    "class_iou",
    "confusion",
    "mean_iou",
    "mean_iou_difference",
    "pixel_accuracy",
]

IGNORED = 255
"""The label of pixels that nobody judges."""

Labels = Integer[Tensor, "batch height width"]
Confusion = Int[Tensor, "batch classes classes"]


class BoundaryCounts(NamedTuple):
    """Pixels near a contour, by image and class."""

    intersection: Int[Tensor, "batch classes"]
    union: Int[Tensor, "batch classes"]


def confusion(prediction: Labels, truth: Labels, classes: int) -> Confusion:
    """Pixels of each image by true class (rows) and predicted class (columns); ``IGNORED`` ones are left out.

    Raises:
        ArgumentError: maps of different shapes, or a class beyond ``classes``.
    """
    _require_maps(prediction, truth, classes)
    judged = truth != IGNORED
    cells = torch.where(judged, truth.long() * classes + prediction.long(), classes**2)
    counts = torch.stack([torch.bincount(image.flatten(), minlength=classes**2 + 1) for image in cells])
    return counts[:, :-1].reshape(-1, classes, classes)


def class_iou(counts: Integer[Tensor, "classes classes"]) -> Float[Tensor, " classes"]:
    """``TP / (TP + FP + FN)`` of each class; NaN for a class that is neither there nor predicted."""
    hits = counts.diagonal().double()
    return hits / (counts.sum(0) + counts.sum(1) - hits)


def mean_iou(counts: Confusion) -> float:
    """Mean over the classes that occur of the IoU of all images together (Everingham et al., IJCV 2015)."""
    return float(class_iou(counts.sum(0)).nanmean())


def pixel_accuracy(counts: Confusion) -> float:
    """Share of the judged pixels that have the right class."""
    total = counts.sum(0)
    return float(total.diagonal().sum() / total.sum())


def mean_iou_difference(
    first: Confusion, second: Confusion, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Mean IoU of ``first`` less that of ``second`` with its percentile interval over drawn images, both alike.

    Args:
        first: counts of one network, by image.
        second: of the other, on the same images in the same order.
        resamples: number of bootstrap samples.
        level: confidence level, in (0, 1).
        seed: of the resampling.

    Raises:
        ArgumentError: counts of different shapes, fewer than two images, or other truths.
    """
    if first.shape != second.shape or len(first) < 2 or not torch.equal(first.sum(-1), second.sum(-1)):
        raise ArgumentError(
            f"expected counts of the same two or more images, got {tuple(first.shape)} and {tuple(second.shape)}, or "
            "other truths; evaluate both on one loader that does not shuffle"
        )
    count = len(first)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = torch.from_numpy(drawn).to(first.device, torch.float64)
    differences = _drawn_iou(weights, first) - _drawn_iou(weights, second)
    return percentile_interval(mean_iou(first) - mean_iou(second), differences.cpu().numpy(), level=level)


def boundary(masks: Bool[Tensor, "*batch height width"], width: int) -> Bool[Tensor, "*batch height width"]:
    """Pixels of each mask from which its outside, or that of the image, is at most ``width`` steps away.

    The mask less its erosion by a square of side ``2 width + 1``.
    """
    outside = F.pad((~masks).float().flatten(0, -3)[:, None], (width,) * 4, value=1.0)
    eroded = F.max_pool2d(outside, 2 * width + 1, stride=1) == 0
    return masks & ~eroded.view(masks.shape)


def boundary_counts(prediction: Labels, truth: Labels, classes: int, *, share: float = 0.02) -> BoundaryCounts:
    """What boundary IoU is made of: intersection and union of the boundaries of either map, class by class.

    Source: Cheng et al., Boundary IoU, CVPR 2021, whose width is 2 % of the diagonal. Pixels whose truth is ``IGNORED``
    count as outside of every class, and are not judged.

    Args:
        prediction: class indices, ``B x H x W``.
        truth: of the same shape.
        classes: how many there are.
        share: width of a boundary as a share of the image's diagonal.

    Raises:
        ArgumentError: as for :func:`confusion`.
    """
    _require_maps(prediction, truth, classes)
    width = max(1, round(share * float(np.hypot(*truth.shape[-2:]))))
    judged = truth != IGNORED
    pairs = list(_boundaries(torch.where(judged, prediction, IGNORED), truth, classes, width))
    together, either = (
        torch.stack([op(ours, theirs).flatten(1).sum(1) for ours, theirs in pairs], dim=1)
        for op in (torch.logical_and, torch.logical_or)
    )
    return BoundaryCounts(together, either)


def _boundaries(first: Tensor, second: Tensor, classes: int, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    for index in range(classes):
        yield boundary(first == index, width), boundary(second == index, width)


def _drawn_iou(weights: Tensor, counts: Tensor) -> Tensor:
    """Mean IoU of every draw, from how often each image came in it."""
    hits = weights @ counts.diagonal(dim1=1, dim2=2).double()
    unions = weights @ (counts.sum(1) + counts.sum(2)).double() - hits
    return (hits / unions).nanmean(1)


def _require_maps(prediction: Tensor, truth: Tensor, classes: int) -> None:
    if prediction.shape != truth.shape:
        raise ArgumentError(
            f"expected a prediction for every pixel of the truth, got {tuple(prediction.shape)} and "
            f"{tuple(truth.shape)}; enlarge the logits first"
        )
    most = max(int(prediction.max()), int(torch.where(truth == IGNORED, 0, truth).max()))
    if most >= classes:
        raise ArgumentError(f"expected classes below {classes}, got {most}; does the network belong to this data set?")
