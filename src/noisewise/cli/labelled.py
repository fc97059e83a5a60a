"""Labelled images for a network, as several commands read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
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
    from noisewise.cli.batch import counting
    from noisewise.train.in_memory import in_memory as read

    with counting(f"reading {name}", "images") as tick:
        return read(images, progress=tick)


def read_once(images: LabelledImages, name: str) -> Any:
    """The same items as a data set in memory, likewise; from the disk where they do not fit."""
    from noisewise.cli.batch import counting
    from noisewise.train.in_memory import read_once as read

    with counting(f"reading {name}", "images") as tick:
        return read(images, progress=tick)
