"""Labelled images held in memory as 8-bit tensors, so that none is decoded again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from noisewise.contracts import Shares
from noisewise.data.classification import LabelledImages
from noisewise.train.classifier import LabelledPixels

__all__ = ["in_memory", "read_once"]


def in_memory(images: LabelledImages, *, progress: Shares = lambda done, total: None) -> LabelledPixels:
    """All images with their labels.

    Args:
        images: in [0, 1], all of one size.
        progress: called with the number of images read and in all.

    Raises:
        UnreadableImageError: one of them is missing or damaged.
    """
    pixels, labels = [], []
    for index in range(len(images)):
        image, label = images[index]
        pixels.append((255 * image).round().byte())
        labels.append(label)
        progress(index + 1, len(images))
    return LabelledPixels(torch.stack(pixels), torch.tensor(labels))


def read_once(images: LabelledImages, *, progress: Shares = lambda done, total: None) -> Any:
    """The same items as a data set in memory; from the disk where they do not fit. Otherwise as :func:`in_memory`."""
    needed = len(images) * images[0][0].numel()
    fits = 3 * needed < psutil.virtual_memory().available  # twice while they are stacked, and room to work in
    return _Items(in_memory(images, progress=progress)) if fits else images


@dataclass(frozen=True)
class _Items:
    """Float images in [0, 1] with their class indices, out of 8-bit ones."""

    pixels: LabelledPixels

    def __len__(self) -> int:
        return len(self.pixels.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pixels.images[index] / 255, int(self.pixels.labels[index])
