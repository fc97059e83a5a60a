"""Average precision as COCO counts it: of boxes, of masks, and of the boundaries of masks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.typing import NDArray
from torch import Tensor

from noisewise.errors import ArgumentError

__all__ = ["AveragePrecision", "Detected", "Truth", "average_precision", "resampled_precision"]

Kind = Literal["bbox", "segm", "boundary"]
Entries = list[dict[str, Any]]
"""Objects of one image as COCO's files have them, without its number."""


class Detected(NamedTuple):
    """What a detector found in one image."""

    boxes: Float[Tensor, "found 4"]
    """Left, top, right and bottom in pixels."""
    labels: Integer[Tensor, " found"]
    scores: Float[Tensor, " found"]
    masks: Bool[Tensor, "found height width"] | None = None


class Truth(NamedTuple):
    """What one image shows."""

    size: tuple[int, int]
    """Height and width in pixels."""
    boxes: Float[Tensor, "objects 4"]
    labels: Integer[Tensor, " objects"]
    outlines: Sequence[Any] = ()
    """Of each object, as COCO has them; needed for masks."""
    crowds: Sequence[bool] = ()


class AveragePrecision(NamedTuple):
    """In percent, mean over the classes that occur."""

    ap: float
    """Mean over overlaps from 0.50 to 0.95."""
    ap50: float
    """At an overlap of 0.50."""


def average_precision(found: Sequence[Detected], truths: Sequence[Truth], kind: Kind = "bbox") -> AveragePrecision:
    """AP of detections over a set, counted by faster-coco-eval.

    Source: Lin et al., ECCV 2014; Cheng et al., CVPR 2021, for boundaries.

    Args:
        found: by image, in the order of ``truths``; the hundred most certain of each count.
        truths: by image.
        kind: what has to overlap: ``"bbox"``, ``"segm"`` or ``"boundary"``.

    Raises:
        ArgumentError: not one detection of every image, no object at all, masks or outlines that are missing, or
            faster-coco-eval is not installed.
    """
    if len(found) != len(truths) or not any(len(truth.labels) for truth in truths):
        raise ArgumentError(
            f"expected what was found in each image, and an object in one of them, got {len(found)} and {len(truths)}"
        )
    if kind != "bbox" and not all(len(truth.outlines) == len(truth.labels) for truth in truths):
        raise ArgumentError(f"expected an outline of every object for {kind}, got boxes alone; read COCO's annotations")
    return _counted([_entries(one, kind) for one in found], [_annotations(one) for one in truths], truths, kind)


def _counted(
    found: Sequence[Entries], annotated: Sequence[Entries], truths: Sequence[Truth], kind: Kind
) -> AveragePrecision:
    """From entries of COCO's files, by image."""
    coco, evaluation = _library()
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco(_known(annotated, truths))
        results = _of_images(found)
        if not results:
            return AveragePrecision(0.0, 0.0)
        counted = evaluation(known, known.loadRes(results), iouType=kind)
        counted.evaluate()
        counted.accumulate()
        counted.summarize()
    return AveragePrecision(100 * float(counted.stats[0]), 100 * float(counted.stats[1]))


def resampled_precision(
    found: Sequence[Detected],
    truths: Sequence[Truth],
    kind: Kind = "bbox",
    *,
    resamples: int = 200,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float64]:
    """AP of bootstrap samples of the images, in percent; one seed draws the same images for every detector.

    AP is no mean over images, so each sample is counted anew: it takes as long as ``resamples`` evaluations. For the
    interval of a difference see :func:`~noisewise.measure.statistics.percentile_interval`.

    Args:
        found: as for :func:`average_precision`.
        truths: by image.
        kind: what has to overlap.
        resamples: number of bootstrap samples.
        seed: of the draws.
        progress: called after each with the number of those done.

    Raises:
        ArgumentError: as for :func:`average_precision`.
    """
    average_precision(found, truths, kind)  # refuses what has no AP, which would be drawn for ever
    entries, annotated = [_entries(one, kind) for one in found], [_annotations(one) for one in truths]
    generator = np.random.default_rng(seed)
    scores: list[float] = []
    while len(scores) < resamples:
        drawn = generator.integers(len(truths), size=len(truths))
        if not any(annotated[i] for i in drawn):
            continue  # nothing to find has no AP
        drawn_entries, drawn_annotations = [entries[i] for i in drawn], [annotated[i] for i in drawn]
        scores.append(_counted(drawn_entries, drawn_annotations, [truths[i] for i in drawn], kind).ap)
        progress(len(scores))
    return np.asarray(scores)


def _library() -> tuple[Any, Any]:
    try:
        import faster_coco_eval
    except ImportError as error:
        raise ArgumentError("AP needs faster-coco-eval; install it with: pip install 'noisewise[detection]'") from error
    return faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster


def _known(annotated: Sequence[Entries], truths: Sequence[Truth]) -> dict[str, Any]:
    """The truth as the content of a file of COCO's."""
    annotations = _of_images(annotated)
    numbers = sorted({entry["category_id"] for entry in annotations})
    return {
        "images": [{"id": i, "height": truth.size[0], "width": truth.size[1]} for i, truth in enumerate(truths)],
        "annotations": [entry | {"id": number} for number, entry in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": str(number)} for number in numbers],
    }


def _of_images(entries: Sequence[Entries]) -> Entries:
    """All of them, with the place of their image."""
    return [entry | {"image_id": place} for place, of_image in enumerate(entries) for entry in of_image]


def _annotations(truth: Truth) -> Entries:
    crowds = truth.crowds or [False] * len(truth.labels)
    outlines = truth.outlines or [None] * len(truth.labels)
    rows = zip(_sides(truth.boxes), truth.labels.tolist(), outlines, crowds, strict=True)
    return [
        {"bbox": box, "area": box[2] * box[3], "category_id": label, "iscrowd": int(crowd)}
        | ({} if outline is None else {"segmentation": outline})
        for box, label, outline, crowd in rows
    ]


def _entries(found: Detected, kind: Kind) -> Entries:
    entries = [
        {"bbox": box, "category_id": label, "score": score}
        for box, label, score in zip(_sides(found.boxes), found.labels.tolist(), found.scores.tolist(), strict=True)
    ]
    if kind == "bbox":
        return entries
    if found.masks is None:
        raise ArgumentError(f"expected masks for {kind}, got boxes alone; choose a network that draws masks")
    codes = _run_lengths(found.masks)
    return [
        {name: entry[name] for name in ("category_id", "score")} | {"segmentation": code}
        for entry, code in zip(entries, codes, strict=True)
    ]


def _run_lengths(masks: Bool[Tensor, "found height width"]) -> list[dict[str, Any]]:
    from faster_coco_eval.core import mask

    columns = np.asfortranarray(masks.cpu().numpy().astype(np.uint8).transpose(1, 2, 0))
    codes: list[dict[str, Any]] = mask.encode(columns) if len(masks) else []
    return codes


def _sides(boxes: Float[Tensor, "objects 4"]) -> list[list[float]]:
    """Left, top, width and height."""
    exact = boxes.double().cpu()
    rows: list[list[float]] = torch.cat([exact[:, :2], exact[:, 2:] - exact[:, :2]], dim=1).tolist()
    return rows
