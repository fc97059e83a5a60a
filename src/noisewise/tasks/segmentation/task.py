"""The task: a data set and what is measured on it. All values are in percent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from noisewise.contracts import Noise
from noisewise.tasks.noisy_batches import Preprocess
from noisewise.tasks.segmentation.evaluate import Batches, Segmented, segment

__all__ = ["Segmentation"]


@dataclass(frozen=True)
class Segmentation:
    """Semantic segmentation of one data set: yields ``miou``, ``accuracy`` and ``boundary_iou`` in percent.

    Attributes:
        batches: images in [0, 1] and labels, 255 where nobody judges, in the same order on every pass.
        classes: how many there are.
        noise: what corrupts the images, if anything.
        seed: of the noise.
        preprocess: from pixels to the input of the network.
    """

    batches: Batches
    classes: int
    noise: Noise | None = None
    seed: int = 0
    preprocess: Preprocess | None = None

    def __call__(self, model: nn.Module) -> Iterator[tuple[str, float]]:
        """Name and value of each metric; see `segment` for the errors."""
        found = self.segment(model)
        yield "miou", found.miou
        yield "accuracy", found.accuracy
        yield "boundary_iou", found.boundary_iou

    def segment(self, model: nn.Module) -> Segmented:
        """What ``model`` confuses, image by image."""
        return segment(model, self.batches, self.classes, noise=self.noise, seed=self.seed, preprocess=self.preprocess)
