"""The test images of a data set as a task that compares two networks, and its unlabelled training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from noisewise.data.classification import CLASSIFICATION_DATASETS, resize_and_crop
from noisewise.data.detection import DETECTION_DATASETS
from noisewise.data.reidentification import REIDENTIFICATION_DATASETS, ReidentificationImage
from noisewise.data.resized import load_stretched
from noisewise.data.segmentation import SEGMENTATION_DATASETS
from noisewise.errors import ArgumentError
from noisewise.measure.retrieval import Retrieval
from noisewise.models.preprocess import Preprocess
from noisewise.tasks import ComparableTask
from noisewise.tasks.classification import Classification, Correctness
from noisewise.tasks.detection import Detection, Findings
from noisewise.tasks.reidentification import Reidentification
from noisewise.tasks.segmentation import Segmentation, Segmented

__all__ = [
    "Comparison",
    "ComparisonSettings",
    "compare_classifiers",
    "compare_detectors",
    "compare_embedders",
    "compare_segmenters",
]

Found = TypeVar("Found")

_TOGETHER = 64
_SEGMENTED_TOGETHER = 8


@dataclass(frozen=True)
class ComparisonSettings:
    """How the images reach a network, and how intervals are drawn.

    Attributes:
        preprocess: from pixels in [0, 1] to the input of the network.
        size: height and width that the images are brought to; what the network says, or their own, if None.
        seed: of the resampling.
        resamples: bootstrap samples behind an interval of AP.
    """

    preprocess: Preprocess
    size: tuple[int, int] | None = None
    seed: int = 0
    resamples: int = 200


class Unlabelled(Dataset[Tensor]):
    """The images of a data set without what they show: ``3 x H x W`` in [0, 1]."""

    def __init__(self, labelled: Any) -> None:
        self._labelled = labelled

    def __len__(self) -> int:
        return len(self._labelled)

    def __getitem__(self, index: int) -> Tensor:
        """One of them."""
        image: Tensor = self._labelled[index][0]
        return image


class StretchedImages(Dataset[Tensor]):
    """Files of individuals as `Reidentification` reads them: ``3 x H x W`` in [0, 1]."""

    def __init__(self, images: Sequence[ReidentificationImage], size: tuple[int, int] | None) -> None:
        self._images, self._size = images, size

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        """One of them."""
        return load_stretched(self._images[index].path, self._size)[0]


@dataclass(frozen=True, eq=False)
class Comparison(Generic[Found]):
    """A task on the test images of a set, and the set's training images.

    Attributes:
        task: on clean images.
        images: number of the test images.
        training: unlabelled images ``3 x H x W`` in [0, 1], none of which is tested on.
        together: how many of these may pass at once, 1 where their sizes differ.
        discrete: whether the network chooses among candidates, so that rounding alone may change its answer.
    """

    task: ComparableTask[Found]
    images: int
    training: Unlabelled | StretchedImages
    together: int
    discrete: bool = False


def compare_classifiers(dataset: str, root: Path, settings: ComparisonSettings) -> Comparison[Correctness]:
    """Top-1 accuracy on a set of :data:`~noisewise.data.classification.CLASSIFICATION_DATASETS` with a split ``train``.

    Raises:
        ArgumentError: nobody says which size the images have.
        DatasetError: the folder does not have the layout of the set.
    """
    size = settings.size or settings.preprocess.size
    if size is None:
        raise ArgumentError("this network does not say which size its images have; give it with --size")
    if size[0] != size[1]:
        raise ArgumentError(
            f"images are cut to squares in classification, got {size[0]}x{size[1]}; give one side twice"
        )
    read, transform = CLASSIFICATION_DATASETS[dataset], resize_and_crop(min(size))
    tested, training = read(root, transform=transform), read(root, "train", transform=transform)
    task = Classification(DataLoader(tested, batch_size=_TOGETHER), seed=settings.seed, preprocess=settings.preprocess)
    return Comparison(task, len(tested), Unlabelled(training), _TOGETHER)


def compare_embedders(dataset: str, root: Path, settings: ComparisonSettings) -> Comparison[Retrieval]:
    """Mean average precision on a set of :data:`~noisewise.data.reidentification.REIDENTIFICATION_DATASETS`.

    Raises:
        DatasetError: the folder does not have the layout of the set.
    """
    images, size = REIDENTIFICATION_DATASETS[dataset](root), settings.size or settings.preprocess.size
    task = Reidentification(images, settings.preprocess, seed=settings.seed, size=size, batch_size=_TOGETHER)
    tested = len(images.gallery) if images.leave_one_out else len(images.query) + len(images.gallery)
    return Comparison(task, tested, StretchedImages(images.train, size), 1 if size is None else _TOGETHER)


def compare_detectors(dataset: str, root: Path, settings: ComparisonSettings) -> Comparison[Findings]:
    """AP of boxes on a set of :data:`~noisewise.data.detection.DETECTION_DATASETS` with a split ``train2017``.

    Photographs keep their size.

    Raises:
        ArgumentError: a size was asked for.
        DatasetError: the folder does not have the layout of the set.
    """
    if settings.size is not None:
        raise ArgumentError("photographs keep their size in detection; leave out --size")
    read = DETECTION_DATASETS[dataset]
    tested, training = read(root), read(root, "train2017")
    # masks of thousands of photographs would fill the memory
    task = Detection(tested, None, settings.seed, settings.preprocess, masks=False, resamples=settings.resamples)
    return Comparison(task, len(tested), Unlabelled(training), 1, discrete=True)


def compare_segmenters(dataset: str, root: Path, settings: ComparisonSettings) -> Comparison[Segmented]:
    """Mean IoU on a set of :data:`~noisewise.data.segmentation.SEGMENTATION_DATASETS` with a split ``training``.

    Images keep their size unless one is asked for.

    Raises:
        DatasetError: the folder does not have the layout of the set.
    """
    read = SEGMENTATION_DATASETS[dataset]
    tested, training = read(root, size=settings.size), read(root, "training", size=settings.size)
    together = 1 if settings.size is None else _SEGMENTED_TOGETHER
    batches = DataLoader(tested, batch_size=together)
    task = Segmentation(batches, read.classes, None, settings.seed, settings.preprocess, boundaries=False)
    return Comparison(task, len(tested), Unlabelled(training), together)
