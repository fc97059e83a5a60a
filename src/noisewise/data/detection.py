"""Photographs with boxes around their objects: COCO's annotations, and labels as YOLO has them.

Nothing is ever downloaded. Every set yields ``(image, objects)``: a float tensor ``3 x H x W`` in [0, 1] in its own
size and what it shows, with class numbers from 1, for 0 is the background of torchvision's detectors.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.utils.data import Dataset

from noisewise._registry import Registry
from noisewise.data.patches import load_rgb
from noisewise.errors import ArgumentError, DatasetError

__all__ = ["DETECTION_DATASETS", "DetectionReader", "Objects", "PhotographsWithObjects"]

_PICTURES = (".jpg", ".jpeg", ".png")


class Objects(NamedTuple):
    """What an image shows."""

    boxes: Float[Tensor, "objects 4"]
    """Left, top, right and bottom in pixels."""
    labels: Integer[Tensor, " objects"]
    """Class numbers from 1."""
    outlines: Sequence[Any] = ()
    """Of each object, as COCO has them: polygons, or a run-length code; empty where nobody drew any."""
    crowds: Sequence[bool] = ()
    """Whether it is a group that a detector need not tell apart; empty for none."""


@dataclass(frozen=True)
class Listing:
    """An image file with what it shows, boxes as shares of its sides where ``relative``."""

    path: Path
    boxes: list[list[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    outlines: list[Any] = field(default_factory=list)
    crowds: list[bool] = field(default_factory=list)
    relative: bool = False


class PhotographsWithObjects(Dataset[tuple[Tensor, Objects]]):
    """Image files with their objects.

    Args:
        listings: of the files.
        classes: names of the classes by their numbers.
    """

    def __init__(self, listings: list[Listing], classes: Mapping[int, str]) -> None:
        self.listings, self.classes = listings, dict(classes)

    def __len__(self) -> int:
        return len(self.listings)

    def __getitem__(self, index: int) -> tuple[Tensor, Objects]:
        """Image and objects.

        Raises:
            UnreadableImageError: the file is missing or damaged.
        """
        one = self.listings[index]
        image = load_rgb(one.path).to(torch.float32) / 255
        boxes = torch.tensor(one.boxes, dtype=torch.float32).reshape(-1, 4)
        if one.relative:
            boxes = _corners(boxes) * boxes.new_tensor([image.shape[2], image.shape[1]] * 2)
        return image, Objects(boxes, torch.tensor(one.labels, dtype=torch.long), one.outlines, one.crowds)


@dataclass(frozen=True)
class DetectionReader:
    """How one set lies on a disk.

    Attributes:
        layout: the files below the root in words, for error messages.
        splits: names of the splits, the one for evaluation first.
        read: root and split to listings, and the names of the classes.
    """

    layout: str
    splits: tuple[str, ...]
    read: Callable[[Path, str], tuple[list[Listing], dict[int, str]]]

    def __call__(self, root: str | Path, split: str | None = None) -> PhotographsWithObjects:
        """The images of one split.

        Raises:
            ArgumentError: the set has no such split.
            DatasetError: the files are not there, or say something else; the message has the expected layout.
        """
        split = self.splits[0] if split is None else split
        if split not in self.splits:
            raise ArgumentError(f"there is no split {split!r}; choose one of {', '.join(self.splits)}")
        try:
            listings, classes = self.read(Path(root), split)
        except (OSError, ValueError, LookupError, TypeError) as reason:
            told = reason if isinstance(reason, OSError | ValueError) else f"{type(reason).__name__} {reason}"
            raise DatasetError(f"{told}; expected {self.layout} below {root}") from reason
        if not listings:
            raise DatasetError(f"found no images; expected {self.layout} below {root}")
        return PhotographsWithObjects(listings, classes)


DETECTION_DATASETS: Registry[DetectionReader] = Registry("data set with boxes")
"""Readers by name: ``DETECTION_DATASETS["coco"](root, "val2017")``."""


def _coco(root: Path, split: str) -> tuple[list[Listing], dict[int, str]]:
    content = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
    folder = next((place for place in (root / split, root / "images" / split) if place.is_dir()), root / split)
    objects: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        objects[annotation["image_id"]].append(annotation)
    listings = [_coco_listing(folder / one["file_name"], objects[one["id"]]) for one in content["images"]]
    return listings, {one["id"]: one["name"] for one in content["categories"]}


def _coco_listing(path: Path, objects: list[dict[str, Any]]) -> Listing:
    corners = [[x, y, x + width, y + height] for x, y, width, height in (one["bbox"] for one in objects)]
    return Listing(
        path,
        corners,
        [one["category_id"] for one in objects],
        [one["segmentation"] for one in objects if one.get("segmentation")],
        [bool(one.get("iscrowd")) for one in objects],
    )


def _yolo(root: Path, split: str) -> tuple[list[Listing], dict[int, str]]:
    folder = root / "images" / split
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    listings = [_yolo_listing(path, root / "labels" / split / f"{path.stem}.txt") for path in pictures]
    numbers = sorted({label for one in listings for label in one.labels})
    return listings, {number: str(number - 1) for number in numbers}


def _yolo_listing(picture: Path, labels: Path) -> Listing:
    lines = [line.split() for line in labels.read_text().splitlines() if line.strip()] if labels.is_file() else []
    if wrong := [line for line in lines if len(line) != 5]:
        raise ValueError(f"{labels} has a line of {len(wrong[0])} numbers, where class, centre and sides are five")
    boxes = [[float(value) for value in line[1:]] for line in lines]
    return Listing(picture, boxes, [1 + int(line[0]) for line in lines], relative=True)


def _corners(boxes: Float[Tensor, "objects 4"]) -> Float[Tensor, "objects 4"]:
    """Left, top, right, bottom from centre and sides."""
    centres, sides = boxes[:, :2], boxes[:, 2:]
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=1)


DETECTION_DATASETS.register("coco")(
    DetectionReader("annotations/instances_SPLIT.json and SPLIT/NAME.jpg", ("val2017", "train2017"), _coco)
)
DETECTION_DATASETS.register("yolo")(
    DetectionReader(
        "images/SPLIT/NAME.jpg and labels/SPLIT/NAME.txt (class, centre and sides as shares of the image)",
        ("val2017", "train2017", "val", "train"),
        _yolo,
    )
)
