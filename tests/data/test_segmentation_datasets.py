"""Sets with a class for every pixel, each in the layout that its authors give it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noisewise.data.segmentation import SEGMENTATION_DATASETS
from noisewise.errors import ArgumentError, DatasetError, UnreadableImageError

NUMBERS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def save(root, picture, map_):
    pixels = np.full((6, 8, 3), 200, np.uint8)
    for path, content in ((root / picture, pixels), (root / map_, NUMBERS)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(content).save(path)


def camvid(root):
    save(root, "test/a.png", "testannot/a.png")


def ade20k(root):
    save(root, "images/validation/a.jpg", "annotations/validation/a.png")


def voc2012(root):
    base = root / "VOCdevkit/VOC2012"
    save(base, "JPEGImages/a.jpg", "SegmentationClass/a.png")
    (base / "ImageSets/Segmentation").mkdir(parents=True)
    (base / "ImageSets/Segmentation/val.txt").write_text("a\n")


def cityscapes(root):
    save(root, "leftImg8bit/val/ulm/a_leftImg8bit.png", "gtFine/val/ulm/a_gtFine_labelIds.png")


WRITERS = {"camvid": camvid, "ade20k": ade20k, "voc2012": voc2012, "cityscapes": cityscapes}
FIRST = {"camvid": 0, "ade20k": 1, "voc2012": 0, "cityscapes": 7}
"""What stands for the first class in the maps."""


@pytest.mark.parametrize("name", SEGMENTATION_DATASETS)
def test_every_registered_set_is_read_from_its_layout(name, tmp_path):
    WRITERS[name](tmp_path)
    reader = SEGMENTATION_DATASETS[name]
    image, labels = reader(tmp_path)[0]
    assert image.shape == (3, 6, 8)
    assert image.dtype == torch.float32
    assert image.mean() == pytest.approx(200 / 255, abs=0.01)
    assert labels.flatten()[FIRST[name]] == 0
    assert set(labels.unique().tolist()) <= {*range(reader.classes), 255}
    assert (labels != 255).sum() == sum(number < 48 for number in reader.number)


def test_cityscapes_judges_nineteen_classes_by_their_train_ids(tmp_path):
    cityscapes(tmp_path)
    labels = SEGMENTATION_DATASETS["cityscapes"](tmp_path)[0][1].flatten()
    assert labels[[7, 8, 11, 24, 26, 33]].tolist() == [0, 1, 2, 11, 13, 18]
    assert (labels[[0, 1, 9, 10, 29, 30, 34]] == 255).all()


def test_a_size_is_that_of_both_and_no_new_class_comes_of_it(tmp_path):
    camvid(tmp_path)
    image, labels = SEGMENTATION_DATASETS["camvid"](tmp_path, size=(3, 5))[0]
    assert (image.shape, labels.shape) == ((3, 3, 5), (3, 5))
    assert set(labels.unique().tolist()) <= {*range(11), 255}


def test_what_is_missing_or_does_not_fit_is_told(tmp_path):
    reader = SEGMENTATION_DATASETS["camvid"]
    with pytest.raises(ArgumentError, match="choose one of test, val, train"):
        reader(tmp_path, "validation")
    with pytest.raises(DatasetError, match=r"no folder .*expected SPLIT/NAME"):
        reader(tmp_path)
    camvid(tmp_path)
    Image.fromarray(NUMBERS[:4]).save(tmp_path / "testannot/a.png")
    with pytest.raises(DatasetError, match="the same size"):
        reader(tmp_path)[0]
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "testannot/a.png")
    with pytest.raises(DatasetError, match="one class number"):
        reader(tmp_path)[0]
    (tmp_path / "testannot/a.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImageError, match=r"a\.png"):
        reader(tmp_path)[0]
    (tmp_path / "testannot/a.png").unlink()
    with pytest.raises(DatasetError, match="is missing"):
        reader(tmp_path)


def test_the_camvid_of_the_benchmarks(request):
    import os
    import tarfile

    data = os.environ.get("NOISEWISE_DATA")
    if data is None:
        pytest.skip("NOISEWISE_DATA is not set")
    folder = request.getfixturevalue("tmp_path")
    with tarfile.open(Path(data) / "camvid.tar") as archive:
        members = [one for one in archive.getmembers() if one.name.startswith(("val/", "valannot/"))]
        archive.extractall(folder, members=members, filter="data")
    images = SEGMENTATION_DATASETS["camvid"](folder, "val")
    image, labels = images[0]
    assert len(images) == 101
    assert image.shape[1:] == labels.shape == (180, 240)
