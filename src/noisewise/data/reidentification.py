"""Re-identification: images with identity and camera, in the folder layouts of the public sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from noisewise._registry import Registry
from noisewise.data.folders import image_paths
from noisewise.errors import DatasetError

__all__ = [
    "REIDENTIFICATION_DATASETS",
    "ReidentificationDataset",
    "ReidentificationImage",
    "ReidentificationReader",
    "read_bounding_boxes",
    "read_msmt17",
    "read_nyala",
    "read_vehicleid",
]


@dataclass(frozen=True)
class ReidentificationImage:
    """One image of one individual.

    Attributes:
        path: where it is.
        identity: the individual, by the set's own name; the same name in training and test need not be the same one.
        camera: the camera, by the set's own name; empty where the set does not tell.
    """

    path: Path
    identity: str
    camera: str


@dataclass(frozen=True)
class ReidentificationDataset:
    """Images to train on, and queries whose matches are to be found in a gallery.

    Attributes:
        train: individuals that are in neither of the others.
        query: the images to look for.
        gallery: the images to look among; equal to ``query`` if each is looked for among all others.
        same_camera_is_junk: whether a gallery image of the query's identity from its own camera is ignored.
    """

    train: tuple[ReidentificationImage, ...]
    query: tuple[ReidentificationImage, ...]
    gallery: tuple[ReidentificationImage, ...]
    same_camera_is_junk: bool = True

    @property
    def leave_one_out(self) -> bool:
        """Whether each query is looked for among all other queries."""
        return self.query == self.gallery


@dataclass(frozen=True)
class ReidentificationReader:
    """How one set lies on a disk.

    Attributes:
        layout: the files below the root in words.
        read: from the root to the set.
    """

    layout: str
    read: Callable[[Path], ReidentificationDataset]

    def __call__(self, root: str | Path) -> ReidentificationDataset:
        """The set in the folder ``root``.

        Raises:
            DatasetError: the files are not there; the message has the expected layout.
        """
        return self.read(Path(root))


REIDENTIFICATION_DATASETS: Registry[ReidentificationReader] = Registry("re-identification dataset")
"""Readers by name: ``REIDENTIFICATION_DATASETS["market1501"](root)``."""


@dataclass(frozen=True)
class _Layout:
    """How a set tells who is on an image.

    Attributes:
        pattern: of a relative path or of a line in a list, with groups ``file``, ``identity`` and perhaps ``camera``.
        expects: the layout in words, for error messages.
    """

    pattern: str
    expects: str

    def from_names(self, root: Path, folder: str) -> tuple[ReidentificationImage, ...]:
        """The images below a folder of ``root``, told by their names."""
        if not (root / folder).is_dir():
            raise DatasetError(f"expected {self.expects} in {root}, found no folder {folder}; check both names")
        names = (path.as_posix() for path in image_paths(root / folder))
        return self._images(root, f"{folder}/{{}}", names, source=folder)

    def from_list(self, root: Path, list_file: str, place: str) -> tuple[ReidentificationImage, ...]:
        """The images in a list below ``root``; ``place`` is where each is, with ``{}`` for its ``file``."""
        if not (root / list_file).is_file():
            raise DatasetError(f"expected {self.expects} in {root}, found no {list_file}; check both names")
        lines = (root / list_file).read_text(encoding="utf-8").splitlines()
        return self._images(root, place, filter(None, map(str.strip, lines)), source=list_file)

    def _images(self, root: Path, place: str, texts: Iterable[str], source: str) -> tuple[ReidentificationImage, ...]:
        images = []
        for text in texts:
            match = re.fullmatch(self.pattern, text)
            if match is None:
                raise DatasetError(f"expected {self.expects} in {root}, found {text!r} in {source}; mend or remove it")
            groups = match.groupdict()
            path = root / place.format(groups["file"])
            images.append(ReidentificationImage(path, groups["identity"], groups.get("camera", "")))
        if not images:
            raise DatasetError(f"expected {self.expects} in {root}, found no images in {source}; is the copy complete?")
        return tuple(images)


_BOUNDING_BOXES = _Layout(
    r"(?P<file>(?P<identity>-1|\d+)_c(?P<camera>\d+).*)",
    "images named like 0002_c1s1_000451_03.jpg in bounding_box_train/, query/ and bounding_box_test/",
)
_MSMT17 = _Layout(
    r"(?P<file>[^_\s]+_\d+_(?P<camera>\d+)_\S+)\s+(?P<identity>\d+)",
    "train/, test/ and list_{train,val,query,gallery}.txt with lines like '0000/0000_000_01_0303morning_0008_0.jpg 0'",
)
_VEHICLEID = _Layout(
    r"(?P<file>\d+)\s+(?P<identity>\d+)",
    "image/*.jpg, and train_list.txt and test_list_*.txt in train_test_split/ with lines like '0066362 1107'",
)
_NYALA = _Layout(
    r"(?P<file>(?P<identity>[^/]+)/\d+_(?P<camera>left|right)photo[^/]*)",
    "train/ and test/ with images named like INDIVIDUAL/571_leftphoto.jpg",
)


def read_bounding_boxes(root: Path) -> ReidentificationDataset:
    """Market-1501 and the sets exported in its layout: DukeMTMC-reID and CUHK03 under the new protocol.

    Boxes of the gallery with nobody in particular (identity -1) are dropped, as the protocol has it; distractors
    (identity 0000) stay. Of CUHK03 name the ``labeled`` or the ``detected`` folder.

    Raises:
        DatasetError: the folder does not have this layout.
    """
    train, query, boxes = (
        _BOUNDING_BOXES.from_names(root, folder) for folder in ("bounding_box_train", "query", "bounding_box_test")
    )
    return ReidentificationDataset(train, query, tuple(box for box in boxes if box.identity != "-1"))


def read_msmt17(root: Path) -> ReidentificationDataset:
    """MSMT17 (Wei et al., CVPR 2018); its training and validation lists together are the training set.

    Raises:
        DatasetError: the folder does not have this layout.
    """
    train, val = (_MSMT17.from_list(root, f"list_{part}.txt", "train/{}") for part in ("train", "val"))
    query, gallery = (_MSMT17.from_list(root, f"list_{part}.txt", "test/{}") for part in ("query", "gallery"))
    return ReidentificationDataset(train + val, query, gallery)


def read_vehicleid(root: Path, size: int = 800, seed: int = 0) -> ReidentificationDataset:
    """PKU VehicleID (Liu et al., CVPR 2016).

    One image of each vehicle, drawn at random, is the gallery and the others are the queries, as its papers have it,
    which average over ten draws. The set does not tell its cameras, so nothing is junk.

    Args:
        root: the folder of the set.
        size: vehicles in the test list: 800, 1600 or 2400.
        seed: of the draw.

    Raises:
        DatasetError: the folder does not have this layout.
    """
    train = _VEHICLEID.from_list(root, "train_test_split/train_list.txt", "image/{}.jpg")
    test = _VEHICLEID.from_list(root, f"train_test_split/test_list_{size}.txt", "image/{}.jpg")
    gallery = _one_of_each(test, np.random.default_rng(seed))
    taken = set(gallery)
    query = tuple(image for image in test if image not in taken)
    return ReidentificationDataset(train, query, gallery, same_camera_is_junk=False)


def read_nyala(root: Path) -> ReidentificationDataset:
    """Nyala antelopes (Dlamini and van Zyl 2020); the flank, left or right, is the camera.

    Every test image is looked for among all others. The stripes of one flank do not tell those of the other, so an
    image of the same flank is a match rather than junk: without these only the unanswerable half would be asked.
    Both flanks of one sighting share their place and light, which makes some matches easy.

    Raises:
        DatasetError: the folder does not have this layout.
    """
    train, test = (_NYALA.from_names(root, split) for split in ("train", "test"))
    return ReidentificationDataset(train, test, test, same_camera_is_junk=False)


for _name in ("market1501", "dukemtmc", "cuhk03"):
    REIDENTIFICATION_DATASETS.register(_name)(ReidentificationReader(_BOUNDING_BOXES.expects, read_bounding_boxes))
REIDENTIFICATION_DATASETS.register("msmt17")(ReidentificationReader(_MSMT17.expects, read_msmt17))
REIDENTIFICATION_DATASETS.register("nyala")(ReidentificationReader(_NYALA.expects, read_nyala))
for _size in (800, 1600, 2400):
    REIDENTIFICATION_DATASETS.register(f"vehicleid-{_size}")(
        ReidentificationReader(_VEHICLEID.expects, partial(read_vehicleid, size=_size))
    )


def _one_of_each(
    images: Iterable[ReidentificationImage], rng: np.random.Generator
) -> tuple[ReidentificationImage, ...]:
    """One image of each identity, drawn at random."""
    groups: dict[str, list[ReidentificationImage]] = {}
    for image in images:
        groups.setdefault(image.identity, []).append(image)
    return tuple(group[rng.integers(len(group))] for group in groups.values())
