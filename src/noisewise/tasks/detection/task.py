"""The task: photographs with objects and what is measured on them. All values are in percent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from noisewise.contracts import Noise, Shares
from noisewise.measure.detection import Detected, Truth, average_precision, resampled_precision
from noisewise.measure.statistics import Interval, percentile_interval
from noisewise.tasks.comparable import ComparableTask, Progress, ignored
from noisewise.tasks.detection.detect import Photographs, detect
from noisewise.tasks.noisy_batches import Preprocess

__all__ = ["Detection", "Findings", "ap_difference"]

Findings: TypeAlias = tuple[list[Detected], list[Truth]]
"""What a detector found in each photograph, beside what there is."""


@dataclass(frozen=True)
class Detection(ComparableTask[Findings]):
    """Object detection: yields ``ap`` and ``ap50``; where masks are drawn, ``mask_ap`` and ``boundary_ap``, too.

    Attributes:
        photographs: each in its own size, with what it shows.
        noise: what corrupts them, if anything.
        seed: of the noise, and of the resampling behind an interval.
        preprocess: from pixels to the input of the network.
        masks: keep them where the model draws any: a hundred objects of a photograph take tens of megabytes.
        resamples: bootstrap samples behind an interval; each is counted as long as the set.
    """

    photographs: Photographs
    noise: Noise | None = None
    seed: int = 0
    preprocess: Preprocess | None = None
    masks: bool = True
    resamples: int = 200

    def find(self, model: nn.Module, progress: Progress = ignored) -> Findings:
        """What ``model`` finds in each photograph, beside what there is; see `detect`."""
        return detect(
            model,
            self.photographs,
            noise=self.noise,
            seed=self.seed,
            preprocess=self.preprocess,
            masks=self.masks,
            progress=progress,
        )

    def metrics(self, found: Findings) -> Iterator[tuple[str, float]]:
        """Name and value of each metric."""
        boxes = average_precision(*found)
        yield "ap", boxes.ap
        yield "ap50", boxes.ap50
        detected, truths = found
        drawn = all(one.masks is not None for one in detected)
        if drawn and all(len(truth.outlines) == len(truth.labels) for truth in truths):
            yield "mask_ap", average_precision(*found, "segm").ap
            yield "boundary_ap", average_precision(*found, "boundary").ap

    def difference(self, first: Findings, second: Findings, progress: Shares = ignored) -> Interval:
        """Of AP of boxes; see `ap_difference`."""

        def counted(done: int) -> None:
            progress(done, 2 * self.resamples)

        return ap_difference(first, second, resamples=self.resamples, seed=self.seed, progress=counted)


def ap_difference(
    first: Findings,
    second: Findings,
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
    progress: Progress = ignored,
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
