"""Sets with boxes, as COCO's annotations and as YOLO's labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from noisewise.data.detection import DETECTION_DATASETS
from noisewise.errors import ArgumentError, DatasetError

BOX = [2.0, 1.0, 6.0, 4.0]


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((10, 20, 3), 100, np.uint8)).save(path)


def coco(root):
    """Left, top, width, height."""
    picture(root / "val2017" / "a.jpg")
    picture(root / "val2017" / "empty.jpg")
    outline = [[2, 1, 6, 1, 6, 4]]
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "empty.jpg"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [2, 1, 4, 3], "segmentation": outline, "iscrowd": 0, "id": 1}
        ],
        "categories": [{"id": 3, "name": "car"}],
    }
    (root / "annotations").mkdir()
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))


def yolo(root):
    """Class from 0, centre and sides as shares."""
    picture(root / "images/val2017/a.jpg")
    picture(root / "images/val2017/empty.jpg")
    (root / "labels/val2017").mkdir(parents=True)
    (root / "labels/val2017/a.txt").write_text("2 0.2 0.25 0.2 0.3\n")


@pytest.mark.parametrize(("name", "write"), [("coco", coco), ("yolo", yolo)])
def test_a_box_is_the_same_in_either_layout(name, write, tmp_path):
    write(tmp_path)
    images = DETECTION_DATASETS[name](tmp_path)
    assert len(images) == 2
    assert list(images.classes) == [3]
    image, objects = images[0]
    assert image.shape == (3, 10, 20)
    torch.testing.assert_close(objects.boxes, torch.tensor([BOX]))
    assert objects.labels.tolist() == [3]
    assert len(images[1][1].labels) == 0
    assert images[1][1].boxes.shape == (0, 4)


def test_coco_has_outlines_and_crowds(tmp_path):
    coco(tmp_path)
    objects = DETECTION_DATASETS["coco"](tmp_path)[0][1]
    assert objects.outlines == [[[2, 1, 6, 1, 6, 4]]]
    assert objects.crowds == [False]
    told = tmp_path / "annotations/instances_val2017.json"
    told.write_text(told.read_text().replace('"segmentation"', '"other"'))
    assert len(DETECTION_DATASETS["coco"](tmp_path)[0][1].outlines) == 0


@pytest.mark.parametrize("name", DETECTION_DATASETS)
def test_what_is_missing_is_told_with_the_layout(name, tmp_path):
    reader = DETECTION_DATASETS[name]
    with pytest.raises(ArgumentError, match="choose one of val2017"):
        reader(tmp_path, "test")
    with pytest.raises(DatasetError, match="SPLIT/NAME"):
        reader(tmp_path)


def test_files_that_say_something_else(tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels/val2017/a.txt").write_text("2 0.2 0.25\n")
    with pytest.raises(DatasetError, match="a line of 3 numbers"):
        DETECTION_DATASETS["yolo"](tmp_path)
    coco(tmp_path)
    (tmp_path / "annotations/instances_val2017.json").write_text("{}")
    with pytest.raises(DatasetError, match="annotations"):
        DETECTION_DATASETS["coco"](tmp_path)
