"""The task: photographs with objects and what is measured on them. All values are in percent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from noisewise.contracts import Noise
from noisewise.measure.detection import Detected, Truth, average_precision
from noisewise.tasks.detection.detect import Photographs, detect
from noisewise.tasks.noisy_batches import Preprocess

__all__ = ["Detection"]


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

    def detect(self, model: nn.Module) -> tuple[list[Detected], list[Truth]]:
        """What ``model`` finds in each photograph, beside what there is."""
        return detect(model, self.photographs, noise=self.noise, seed=self.seed, preprocess=self.preprocess)
