"""Photographs with a class for every pixel: CamVid, ADE20K, Pascal VOC 2012 and folders like Cityscapes'.

Nothing is ever downloaded. Every set yields ``(image, labels)``: a float tensor ``3 x H x W`` in [0, 1] and class
indices ``H x W``, 255 where nobody judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from noisewise._registry import Registry
from noisewise.data.patches import load_rgb
from noisewise.errors import ArgumentError, DatasetError, UnreadableImageError
from noisewise.measure.segmentation import IGNORED

__all__ = ["SEGMENTATION_DATASETS", "SegmentationReader", "SegmentedImages", "stacked"]

Pair = tuple[Path, Path]

_PICTURES = (".jpg", ".jpeg", ".png")


class SegmentedImages(Dataset[tuple[Tensor, Tensor]]):
    """Pairs of files as tensors.

    Args:
        pairs: a photograph and its map of class numbers, each.
        number: from what stands in the map, 0 to 255, to class indices or 255.
        size: height and width in pixels to bring both to, of a photograph by bilinear interpolation with antialiasing,
            of a map by nearest neighbours; None to leave them.
    """

    def __init__(self, pairs: list[Pair], number: Tensor, size: tuple[int, int] | None) -> None:
        self.pairs, self._number, self._size = pairs, number, size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image and labels.

        Raises:
            UnreadableImageError: a file is missing or damaged.
            DatasetError: the two differ in size.
        """
        from torchvision.transforms.v2 import InterpolationMode, functional

        picture, map_ = self.pairs[index]
        image, labels = load_rgb(picture), self._labels(map_)
        if image.shape[1:] != labels.shape:
            sizes = f"{tuple(image.shape[1:])} and {tuple(labels.shape)}"
            raise DatasetError(f"expected {picture} and {map_} to have the same size, got {sizes}")
        if self._size is not None:
            image = functional.resize(image, list(self._size), antialias=True)
            labels = functional.resize(labels[None], list(self._size), InterpolationMode.NEAREST)[0]
        return image.to(torch.float32) / 255, labels

    def _labels(self, path: Path) -> Tensor:
        try:
            with Image.open(path) as file:
                numbers = np.array(file)
        except OSError as reason:
            raise UnreadableImageError(f"cannot read {path}: {reason}; copy or unpack it again") from reason
        if numbers.ndim != 2 or numbers.dtype != np.uint8:
            raise DatasetError(f"expected one class number of 8 bits for every pixel in {path}, got {numbers.shape}")
        return self._number[torch.from_numpy(numbers).long()]


@dataclass(frozen=True)
class SegmentationReader:
    """How one set lies on a disk.

    Attributes:
        layout: the files below the root in words, for error messages.
        splits: names of the splits, the one for evaluation first.
        classes: number of classes.
        pairs: root and split to photographs with their maps.
        number: what stands in the maps, for each class index in turn; every other number is not judged.
    """

    layout: str
    splits: tuple[str, ...]
    classes: int
    pairs: Callable[[Path, str], list[Pair]]
    number: tuple[int, ...]

    def __call__(
        self, root: str | Path, split: str | None = None, *, size: tuple[int, int] | None = None
    ) -> SegmentedImages:
        """The images of one split.

        Args:
            root: the folder that holds the set.
            split: one of ``splits``, by default the first.
            size: height and width in pixels to bring all to.

        Raises:
            ArgumentError: the set has no such split.
            DatasetError: the files are not there; the message has the expected layout.
        """
        split = self.splits[0] if split is None else split
        if split not in self.splits:
            raise ArgumentError(f"there is no split {split!r}; choose one of {', '.join(self.splits)}")
        try:
            pairs = self.pairs(Path(root), split)
        except OSError as reason:
            raise DatasetError(f"{reason}; expected {self.layout} below {root}") from reason
        missing = [map_ for _, map_ in pairs if not map_.is_file()]
        if not pairs or missing:
            found = f"{missing[0]} is missing" if missing else "found no images"
            raise DatasetError(f"{found}; expected {self.layout} below {root}")
        return SegmentedImages(pairs, self._lookup(), size)

    def _lookup(self) -> Tensor:
        table = torch.full((256,), IGNORED)
        table[list(self.number)] = torch.arange(len(self.number))
        return table


SEGMENTATION_DATASETS: Registry[SegmentationReader] = Registry("data set with a class for every pixel")
"""Readers by name: ``SEGMENTATION_DATASETS["camvid"](root, "val")``."""


def _pictures(folder: Path, pattern: str = "*") -> list[Path]:
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    return sorted(path for path in folder.rglob(pattern) if path.suffix.lower() in _PICTURES)


def _camvid(root: Path, split: str) -> list[Pair]:
    return [(path, root / f"{split}annot" / f"{path.stem}.png") for path in _pictures(root / split)]


def _ade20k(root: Path, split: str) -> list[Pair]:
    maps = root / "annotations" / split
    return [(path, maps / f"{path.stem}.png") for path in _pictures(root / "images" / split)]


def _voc(root: Path, split: str) -> list[Pair]:
    base = root / "VOCdevkit/VOC2012" if (root / "VOCdevkit").is_dir() else root
    names = (base / "ImageSets/Segmentation" / f"{split}.txt").read_text().split()
    return [(base / "JPEGImages" / f"{name}.jpg", base / "SegmentationClass" / f"{name}.png") for name in names]


def _cityscapes(root: Path, split: str) -> list[Pair]:
    pictures, maps = root / "leftImg8bit" / split, root / "gtFine" / split
    stems = {path: path.name.removesuffix("_leftImg8bit.png") for path in _pictures(pictures, "*_leftImg8bit.png")}
    return [(path, maps / path.parent.name / f"{stem}_gtFine_labelIds.png") for path, stem in stems.items()]


# Brostow et al., ECCV 2008, with the eleven classes of SegNet. Zhou et al., CVPR 2017. Everingham et al., IJCV 2015.
# Cordts et al., CVPR 2016, with the nineteen classes that its benchmark judges.
SEGMENTATION_DATASETS.register("camvid")(
    SegmentationReader(
        "SPLIT/NAME.jpg or .png and SPLITannot/NAME.png with 11 as void", ("test", "val", "train"), 11, _camvid,
        tuple(range(11)),
    )
)  # fmt: skip
SEGMENTATION_DATASETS.register("ade20k")(
    SegmentationReader(
        "images/SPLIT/NAME.jpg and annotations/SPLIT/NAME.png with 0 as void", ("validation", "training"), 150, _ade20k,
        tuple(range(1, 151)),
    )
)  # fmt: skip
SEGMENTATION_DATASETS.register("voc2012")(
    SegmentationReader(
        "JPEGImages, SegmentationClass and ImageSets/Segmentation/SPLIT.txt", ("val", "train", "trainval"), 21, _voc,
        tuple(range(21)),
    )
)  # fmt: skip
SEGMENTATION_DATASETS.register("cityscapes")(
    SegmentationReader(
        "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png", ("val", "train"), 19,
        _cityscapes, (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
    )
)  # fmt: skip


def stacked(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A batch of images and labels, for a DataLoader's ``collate_fn``.

    Raises:
        ArgumentError: they differ in size.
    """
    images, labels = zip(*pairs, strict=True)
    if len({image.shape for image in images}) > 1:
        sizes = " and ".join(sorted({f"{image.shape[1]}x{image.shape[2]}" for image in images})[:2])
        raise ArgumentError(
            f"images differ in size ({sizes}) and cannot pass together; give them one, or pass them singly "
            "(--size HEIGHTxWIDTH or --batch-size 1)"
        )
    return torch.stack(images), torch.stack(labels)
