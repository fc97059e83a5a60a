"""Labelled images for a network, as several commands read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from noisewise.data.classification import LabelledImages
    from noisewise.train.classifier import LabelledPixels

__all__ = ["DatasetName", "Split", "in_memory", "labelled_images", "read_once"]

DatasetName = Annotated[str, typer.Option(help="folder (one for each class), imagenet, pets, flowers102, cub200.")]
Split = Annotated[str | None, typer.Option(help="Of the data set.", show_default="the one for testing")]


def labelled_images(data: Path, dataset: str, split: str | None, size: tuple[int, int] | int | None) -> LabelledImages:
    """Images in [0, 1] of the side that the network wants, with their class indices.

    Raises:
        ArgumentError: nobody says which side.
    """
    from noisewise.data.classification import CLASSIFICATION_DATASETS, resize_and_crop
    from noisewise.errors import ArgumentError

    if size is None:
        raise ArgumentError("this network does not say which size its images have; give it with --size")
    side = size if isinstance(size, int) else min(size)
    return CLASSIFICATION_DATASETS[dataset](data, split, transform=resize_and_crop(side))


def in_memory(images: LabelledImages, name: str) -> LabelledPixels:
    """All images with their labels as 8-bit tensors, read behind a progress bar that names them."""
    import torch

    from noisewise.cli.batch import progress_bar
    from noisewise.train.classifier import LabelledPixels

    with progress_bar("images") as bar:
        places = bar.track(range(len(images)), description=f"reading {name}")
        pairs = [((255 * pixels).round().byte(), label) for pixels, label in map(images.__getitem__, places)]
    pixels, labels = zip(*pairs, strict=True)
    return LabelledPixels(torch.stack(pixels), torch.tensor(labels))


def read_once(images: LabelledImages, name: str) -> Any:
    """The same items as a data set in memory, so that none is decoded again; from the disk where they do not fit."""
    import psutil

    needed = len(images) * images[0][0].numel()
    fits = 3 * needed < psutil.virtual_memory().available  # twice while they are stacked, and room to work in
    return _Items(in_memory(images, name)) if fits else images


@dataclass(frozen=True)
class _Items:
    """Float images in [0, 1] with their class indices, out of 8-bit ones."""

    pixels: LabelledPixels

    def __len__(self) -> int:
        return len(self.pixels.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pixels.images[index] / 255, int(self.pixels.labels[index])
