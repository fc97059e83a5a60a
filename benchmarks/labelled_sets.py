"""The labelled data sets of the benchmarks, unpacked for as long as they are needed."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from noisewise.data.classification import CLASSIFICATION_DATASETS
from noisewise.data.detection import DETECTION_DATASETS, Objects
from noisewise.data.patches import load_rgb
from noisewise.data.reidentification import ReidentificationDataset
from noisewise.data.segmentation import SEGMENTATION_DATASETS
from noisewise.models.preprocess import Preprocess
from noisewise.train.classifier import LabelledPixels

__all__ = [
    "camvid",
    "coco_people",
    "nyala_training_images",
    "tiny_imagenet",
    "unpacked",
    "whole_images",
    "with_mirrored",
]


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A folder with the files of a tar archive, removed at the end."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
        yield Path(folder)


def tiny_imagenet(folder: Path, split: str) -> LabelledPixels:
    """The images of ``train`` or ``val`` with their classes."""
    images, labels = zip(*CLASSIFICATION_DATASETS["folder"](folder, split, transform=pil_to_tensor), strict=True)
    return LabelledPixels(torch.stack(images), torch.tensor(labels))


def camvid(folder: Path, split: str) -> LabelledPixels:
    """The images of ``train``, ``val`` or ``test`` with their maps."""
    images, labels = zip(*SEGMENTATION_DATASETS["camvid"](folder, split), strict=True)
    return LabelledPixels((255 * torch.stack(images)).round().byte(), torch.stack(labels))


def coco_people(folder: Path, split: str) -> list[tuple[Tensor, Objects]]:
    """The photographs of ``train2017`` or ``val2017`` with their people, the first of COCO's classes, alone."""
    return [(image, people(objects)) for image, objects in DETECTION_DATASETS["yolo"](folder, split)]


def people(objects: Objects) -> Objects:
    chosen = objects.labels == 1
    return Objects(objects.boxes[chosen], objects.labels[chosen])


def nyala_training_images(dataset: ReidentificationDataset, side: int) -> LabelledPixels:
    """The training images, stretched to squares, with the rank of their individuals."""
    names = sorted({image.identity for image in dataset.train})
    images = [resize(load_rgb(image.path), [side, side]) for image in dataset.train]
    return LabelledPixels(torch.stack(images), torch.tensor([names.index(image.identity) for image in dataset.train]))


def whole_images(pixels: LabelledPixels, preprocess: Preprocess) -> Iterator[Tensor]:
    """Inputs without crops: averaged weights need statistics of their own, and crops show things larger than tests do.

    Source: Izmailov et al., UAI 2018, section 3.2; Touvron et al., NeurIPS 2019.
    """
    return (preprocess(part / 255) for part in torch.split(pixels.images, 250))


def with_mirrored(images: Tensor) -> Tensor:
    """Twice as many, for least squares on few images costs clean points."""
    return torch.cat([images, images.flip(-1)])
