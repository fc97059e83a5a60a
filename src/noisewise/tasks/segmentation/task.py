"""The task: a data set and what is measured on it. All values are in percent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from noisewise.contracts import Noise, Shares
from noisewise.measure.statistics import Interval
from noisewise.tasks.comparable import ComparableTask, Progress, ignored
from noisewise.tasks.noisy_batches import Preprocess
from noisewise.tasks.segmentation.evaluate import Batches, Segmented, miou_difference, segment

__all__ = ["Segmentation"]


@dataclass(frozen=True)
class Segmentation(ComparableTask[Segmented]):
    """Semantic segmentation of one data set: yields ``miou``, ``accuracy`` and ``boundary_iou`` in percent.

    Attributes:
        batches: images in [0, 1] and labels, 255 where nobody judges, in the same order on every pass.
        classes: how many there are.
        noise: what corrupts the images, if anything.
        seed: of the noise, and of the resampling behind an interval.
        preprocess: from pixels to the input of the network.
        boundaries: count along them, too, which takes longer than all else where there are many classes.
    """

    batches: Batches
    classes: int
    noise: Noise | None = None
    seed: int = 0
    preprocess: Preprocess | None = None
    boundaries: bool = True

    def find(self, model: nn.Module, progress: Progress = ignored) -> Segmented:
        """What ``model`` confuses, image by image; see `segment`."""
        return segment(
            model,
            self.batches,
            self.classes,
            noise=self.noise,
            seed=self.seed,
            preprocess=self.preprocess,
            boundaries=self.boundaries,
            progress=progress,
        )

    def metrics(self, found: Segmented) -> Iterator[tuple[str, float]]:
        """Name and value of each metric."""
        yield "miou", found.miou
        yield "accuracy", found.accuracy
        if found.boundaries is not None:
            yield "boundary_iou", found.boundary_iou

    def difference(self, first: Segmented, second: Segmented, progress: Shares = ignored) -> Interval:
        """Of mean IoU; see `miou_difference`."""
        return miou_difference(first, second, seed=self.seed)
