"""Labelled images for classification: class folders, ImageNet, Oxford-IIIT Pet, Flowers-102 and CUB-200-2011.

Nothing is ever downloaded. Every set is read as RGB and yields ``(image, label)``: a float tensor ``3 x H x W`` in
[0, 1] and a class index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from noisewise._registry import Registry
from noisewise.errors import ArgumentError, DatasetError, UnreadableImageError

__all__ = [
    "CLASSIFICATION_DATASETS",
    "ClassificationReader",
    "LabelledImages",
    "ListedImages",
    "Samples",
    "resize_and_crop",
]

_SHOWN = 5
_IMAGENET_CLASSES = 1000

Transform: TypeAlias = Callable[[Image.Image], Tensor]


class Samples(Protocol):
    """Photographs with class indices, and the names of the classes."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of the indices."""
        ...

    def __len__(self) -> int:
        """Number of photographs."""
        ...

    def __getitem__(self, index: int, /) -> tuple[Image.Image, int]:
        """A photograph in RGB and its class index."""
        ...


class LabelledImages(Dataset[tuple[Tensor, int]]):
    """Photographs as tensors, with class indices.

    Args:
        samples: the photographs.
        transform: from a photograph to a float tensor ``3 x H x W`` in [0, 1].

    Attributes:
        classes: their names; the label is an index into them.
    """

    def __init__(self, samples: Samples, transform: Transform) -> None:
        self.classes = tuple(samples.classes)
        self._samples = samples
        self._transform = transform

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image and label.

        Raises:
            UnreadableImageError: the file is missing or damaged.
        """
        try:
            image, label = self._samples[index]
        except OSError as reason:
            raise UnreadableImageError(f"cannot read image {index}: {reason}; copy or unpack it again") from reason
        return self._transform(image), label


@dataclass(frozen=True)
class ClassificationReader:
    """How one set lies on a disk.

    Attributes:
        layout: the files below the root in words, for error messages.
        splits: names of the splits, the one for evaluation first; empty if any folder is one.
        open: root and split to photographs.
    """

    layout: str
    splits: tuple[str, ...]
    open: Callable[[Path, str], Samples]

    def __call__(
        self, root: str | Path, split: str | None = None, *, transform: Transform | None = None
    ) -> LabelledImages:
        """The images of one split.

        Args:
            root: the folder that holds the set.
            split: one of ``splits``, by default the first; for plain folders a folder below ``root``, by default none.
            transform: from a photograph to a float tensor in [0, 1]; `resize_and_crop` to 224 pixels by default.

        Raises:
            ArgumentError: the set has no such split.
            DatasetError: the files are not there, or damaged; the message has the expected layout.
        """
        root, split = Path(root), split if split is not None else (*self.splits, "")[0]
        if self.splits and split not in self.splits:
            raise ArgumentError(f"there is no split {split!r}; choose one of {', '.join(self.splits)}")
        try:
            samples = self.open(root, split)
        except (OSError, RuntimeError, ValueError) as reason:
            why = str(reason).partition(". ")[0]  # torchvision goes on to offer a download
            raise DatasetError(
                f"expected {self.layout} in {root}, but found {_content(root)} ({why}); unpack the set there again"
            ) from reason
        return LabelledImages(samples, transform or resize_and_crop())


CLASSIFICATION_DATASETS: Registry[ClassificationReader] = Registry("classification data set")
"""Readers by name: ``CLASSIFICATION_DATASETS["pets"](root, "test", transform=resize_and_crop(224))``."""


def resize_and_crop(size: int = 224, *, share: float = 0.875) -> Transform:
    """The usual transform of evaluation: the short side resized, the square in the middle cut out.

    A photograph that is such a square already, as those of ImageNet-C are, stays as it is.

    Args:
        size: side of the square in pixels.
        share: of the resized short side that the square keeps, in (0, 1]; 0.875 resizes to 256 for 224.

    Returns:
        A function from a photograph to a float tensor ``3 x size x size`` in [0, 1].

    Raises:
        ArgumentError: a size or share out of range.
    """
    from torchvision.transforms import v2

    if size < 1 or not 0 < share <= 1:
        raise ArgumentError(f"expected a size of at least 1 and a share in (0, 1], got {size} and {share}")
    cut = v2.Compose([v2.Resize(round(size / share)), v2.CenterCrop(size)])
    as_tensor = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()])

    def transform(photograph: Image.Image) -> Tensor:
        pixels: Tensor = as_tensor(photograph if photograph.size == (size, size) else cut(photograph))
        return pixels

    return transform


@dataclass(frozen=True)
class ListedImages:
    """Photographs that a list names.

    Attributes:
        paths: of the files.
        labels: class index of each.
        classes: names of the classes.
    """

    paths: Sequence[Path]
    labels: Sequence[int]
    classes: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> tuple[Image.Image, int]:
        """A photograph in RGB and its class index."""
        with Image.open(self.paths[index]) as image:
            return image.convert("RGB"), self.labels[index]


def _open_folder(root: Path, split: str) -> Samples:
    from torchvision.datasets import ImageFolder

    samples: Samples = ImageFolder(root / split)
    return samples


def _open_imagenet(root: Path, split: str) -> Samples:
    # Not torchvision's ImageNet, which wants the development kit: the labels are the rank of the sorted folders.
    samples = _open_folder(root, split)
    if len(samples.classes) != _IMAGENET_CLASSES:
        raise ValueError(f"{len(samples.classes)} classes in {split}/ instead of 1000; read a part of it as 'folder'")
    return samples


def _open_pets(root: Path, split: str) -> Samples:
    from torchvision.datasets import OxfordIIITPet

    samples: Samples = OxfordIIITPet(root, split)
    return samples


def _open_flowers(root: Path, split: str) -> Samples:
    from torchvision.datasets import Flowers102

    samples: Samples = Flowers102(root, split)
    return samples


def _open_cub(root: Path, split: str) -> Samples:
    folder = root / "CUB_200_2011"
    names = ("images", "image_class_labels", "train_test_split")
    paths, labels, training = (_read_column(folder / f"{name}.txt") for name in names)
    if not paths.keys() == labels.keys() == training.keys():
        raise ValueError(f"{', '.join(names)} name different images")
    classes = _read_column(folder / "classes.txt")
    wanted = "1" if split == "train" else "0"
    chosen = [image for image in paths if training[image] == wanted]
    files = [folder / "images" / paths[image] for image in chosen]
    return ListedImages(files, [int(labels[image]) - 1 for image in chosen], list(classes.values()))


def _read_column(path: Path) -> dict[str, str]:
    """The second of two columns by the first, an identifier counted from 1."""
    rows: list[list[str]] = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    if any(len(row) != 2 for row in rows):
        raise ValueError(f"{path.name} has lines that are not an identifier and a value")
    return dict(rows)


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir())
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest if names else "nothing"


CLASSIFICATION_DATASETS.register("folder")(
    ClassificationReader("one folder of images for each class", (), _open_folder),
)
CLASSIFICATION_DATASETS.register("imagenet")(
    ClassificationReader("val/ and train/ with one folder for each of 1000 classes", ("val", "train"), _open_imagenet)
)
# Parkhi et al., Cats and Dogs, CVPR 2012. Nilsback and Zisserman, ICVGIP 2008. Wah et al., CNS-TR-2011-001.
CLASSIFICATION_DATASETS.register("pets")(
    ClassificationReader(
        "oxford-iiit-pet/images/ and oxford-iiit-pet/annotations/{test,trainval}.txt", ("test", "trainval"), _open_pets
    )
)
CLASSIFICATION_DATASETS.register("flowers102")(
    ClassificationReader(
        "flowers-102/jpg/, flowers-102/imagelabels.mat and flowers-102/setid.mat",
        ("test", "train", "val"),
        _open_flowers,
    )
)
CLASSIFICATION_DATASETS.register("cub200")(
    ClassificationReader(
        "CUB_200_2011/images/ and CUB_200_2011/{images,image_class_labels,train_test_split,classes}.txt",
        ("test", "train"),
        _open_cub,
    )
)
