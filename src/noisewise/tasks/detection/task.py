"""The task: photographs with objects and what is measured on them. All values are in percent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from noisewise.contracts import Noise
from noisewise.measure.detection import Detected, Truth, average_precision, resampled_precision
from noisewise.measure.statistics import Interval, percentile_interval
from noisewise.tasks.detection.detect import Photographs, detect
from noisewise.tasks.noisy_batches import Preprocess

__all__ = ["Detection", "Findings", "ap_difference"]

Findings: TypeAlias = tuple[list[Detected], list[Truth]]
"""What a detector found in each photograph, beside what there is."""


@dataclass(frozen=True)
class Detection:
    """Object detection: yields ``ap`` and ``ap50``; where masks are drawn, ``mask_ap`` and ``boundary_ap``, too.

    Attributes:
        photographs: each in its own size, with what it shows.
        noise: what corrupts them, if anything.
        seed: of the noise.
        preprocess: from pixels to the input of the network.
    """

    photographs: Photographs
    noise: Noise | None = None
    seed: int = 0
    preprocess: Preprocess | None = None

    def __call__(self, model: nn.Module) -> Iterator[tuple[str, float]]:
        """Name and value of each metric; see `detect` and `average_precision` for the errors."""
        found, truths = self.detect(model)
        boxes = average_precision(found, truths)
        yield "ap", boxes.ap
        yield "ap50", boxes.ap50
        drawn = all(one.masks is not None for one in found)
        if drawn and all(len(truth.outlines) == len(truth.labels) for truth in truths):
            yield "mask_ap", average_precision(found, truths, "segm").ap
            yield "boundary_ap", average_precision(found, truths, "boundary").ap

    def detect(self, model: nn.Module) -> Findings:
        """What ``model`` finds in each photograph, beside what there is."""
        return detect(model, self.photographs, noise=self.noise, seed=self.seed, preprocess=self.preprocess)


def ap_difference(
    first: Findings,
    second: Findings,
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Interval:
    """AP of boxes of ``first`` less that of ``second`` in percentage points, with its percentile bootstrap interval.

    Args:
        first: of one detector, or under one noise.
        second: of the other, on the same photographs in the same order.
        resamples: number of bootstrap samples; each is counted as long as the set, twice.
        level: confidence level, in (0, 1).
        seed: of the resampling.
        progress: called with the number of samples counted, of ``2 * resamples``.

    Raises:
        ArgumentError: as for `average_precision` and `percentile_interval`.
    """
    of_first = resampled_precision(*first, resamples=resamples, seed=seed, progress=progress)
    of_second = resampled_precision(
        *second, resamples=resamples, seed=seed, progress=lambda done: progress(resamples + done)
    )
    difference = average_precision(*first).ap - average_precision(*second).ap
    return percentile_interval(difference, of_first - of_second, level=level)
