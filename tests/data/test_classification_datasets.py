"""Readers of classification sets on small sets laid out by hand; the colour of each image tells which one it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torch.utils.data import DataLoader
from torchvision.datasets import Flowers102

from noisewise.data.classification import CLASSIFICATION_DATASETS, resize_and_crop
from noisewise.errors import ArgumentError, DatasetError, UnknownNameError, UnreadableImageError

CLASSES_OF_IMAGENET = 1000


def paint(path: Path, grey: int, size: tuple[int, int] = (12, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(path, quality=100)


def lay_out_folder(root: Path) -> None:
    for grey, name in enumerate(["ant/1.png", "ant/2.jpg", "bee/deep/er/3.png"], 1):
        paint(root / "test" / name, 10 * grey)


def lay_out_imagenet(root: Path) -> None:
    for index in range(CLASSES_OF_IMAGENET):
        (root / "val" / f"n{index:08}").mkdir(parents=True)
        (root / "val" / f"n{index:08}" / "1.JPEG").touch()
    for grey, index in [(10, 0), (20, 7), (30, 999)]:
        paint(root / "val" / f"n{index:08}" / "1.JPEG", grey)


def lay_out_pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    for grey, name in enumerate(["Abyssinian_1", "Abyssinian_2", "great_dane_1"], 1):
        paint(base / "images" / f"{name}.jpg", 10 * grey)
    (base / "annotations").mkdir()
    (base / "annotations" / "test.txt").write_text("Abyssinian_1 1 1 1\nAbyssinian_2 1 1 1\ngreat_dane_1 2 2 1\n")
    (base / "annotations" / "trainval.txt").write_text("great_dane_1 2 2 1\n")


def lay_out_flowers(root: Path) -> None:
    base = root / "flowers-102"
    for number in range(1, 6):
        paint(base / "jpg" / f"image_{number:05}.jpg", 10 * number)
    savemat(base / "imagelabels.mat", {"labels": np.array([[1, 1, 102, 7, 7]])})
    savemat(base / "setid.mat", {"trnid": [[4, 5]], "valid": [[5, 4]], "tstid": [[1, 2, 3]]})


def lay_out_cub(root: Path) -> None:
    base = root / "CUB_200_2011"
    names = ["001.Albatross/a.jpg", "001.Albatross/b.jpg", "002.Auklet/a.jpg", "002.Auklet/b.jpg"]
    for number, name in enumerate(names, 1):
        paint(base / "images" / name, 10 * number)
    lists = {
        "images": names,
        "image_class_labels": ["1", "1", "2", "2"],
        "train_test_split": ["0", "0", "0", "1"],
        "classes": ["001.Albatross", "002.Auklet"],
    }
    for name, column in lists.items():
        lines = [f"{number} {value}\n" for number, value in enumerate(column, 1)]
        (base / f"{name}.txt").write_text("".join(lines))


@pytest.fixture(autouse=True)
def any_checksum(monkeypatch):
    """Flowers-102 of one's own has not the checksums of the real lists."""
    files = {role: (name, None) for role, (name, _) in Flowers102._file_dict.items()}
    monkeypatch.setattr(Flowers102, "_file_dict", files)


LAYOUTS = {
    "folder": lay_out_folder,
    "imagenet": lay_out_imagenet,
    "pets": lay_out_pets,
    "flowers102": lay_out_flowers,
    "cub200": lay_out_cub,
}
TEST_LABELS = {  # of the images of grey 10, 20 and 30
    "folder": [0, 0, 1],
    "imagenet": [0, 7, 999],
    "pets": [0, 0, 1],
    "flowers102": [0, 0, 101],
    "cub200": [0, 0, 1],
}
CLASS_COUNTS = {"folder": 2, "imagenet": CLASSES_OF_IMAGENET, "pets": 2, "flowers102": 102, "cub200": 2}


def test_every_reader_is_tested_here():
    assert set(CLASSIFICATION_DATASETS) == set(LAYOUTS)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_images_come_with_their_labels(name, tmp_path):
    LAYOUTS[name](tmp_path)
    split = "test" if name == "folder" else None
    dataset = CLASSIFICATION_DATASETS[name](tmp_path, split, transform=resize_and_crop(6, share=1))
    assert len(dataset.classes) == CLASS_COUNTS[name]
    found = [dataset[index] for index in (TEST_LABELS[name] if name == "imagenet" else range(len(dataset)))]
    assert [label for _, label in found] == TEST_LABELS[name]
    for grey, (image, _) in zip((10, 20, 30), found, strict=True):
        assert image.shape == (3, 6, 6)
        assert image.dtype == torch.float32
        torch.testing.assert_close(image, torch.full((3, 6, 6), grey / 255), atol=1 / 255, rtol=0)


@pytest.mark.parametrize(
    ("name", "split", "greys"),
    [
        ("pets", "trainval", [30]),
        ("flowers102", "train", [40, 50]),
        ("flowers102", "val", [50, 40]),
        ("cub200", "train", [40]),
    ],
)
def test_other_splits_have_other_images(name, split, greys, tmp_path):
    LAYOUTS[name](tmp_path)
    dataset = CLASSIFICATION_DATASETS[name](tmp_path, split)
    assert [round(255 * image.mean().item()) for image, _ in dataset] == pytest.approx(greys, abs=1)


def test_the_folder_itself_is_read_without_a_split(tmp_path):
    lay_out_folder(tmp_path)
    whole = CLASSIFICATION_DATASETS["folder"](tmp_path / "test")
    assert whole.classes == ("ant", "bee")
    assert len(whole) == 3


def test_a_loader_makes_batches(tmp_path):
    lay_out_cub(tmp_path)
    dataset = CLASSIFICATION_DATASETS["cub200"](tmp_path, transform=resize_and_crop(4))
    images, labels = next(iter(DataLoader(dataset, batch_size=3)))
    assert images.shape == (3, 3, 4, 4)
    assert labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("size", "photograph"), [(224, (500, 333)), (64, (66, 66)), (32, (40, 90))])
def test_the_middle_is_cut_out_of_the_resized_photograph(size, photograph):
    width, height = photograph
    ramp = np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8), (height, width))
    image = resize_and_crop(size)(Image.fromarray(ramp).convert("RGB"))
    scale = round(size / 0.875) / min(photograph)
    half = size / 2 / scale / width  # of the cut, as a share of the width
    assert image.shape == (3, size, size)
    assert image[0, 0, 0].item() == pytest.approx(0.5 - half, abs=0.02)
    assert image[0, -1, -1].item() == pytest.approx(0.5 + half, abs=0.02)


@pytest.mark.parametrize("share", [1, 0.875])
def test_an_image_of_the_right_size_is_left_as_it_is(share):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = resize_and_crop(8, share=share)(Image.fromarray(pixels))
    np.testing.assert_allclose(255 * image.movedim(0, -1).numpy(), pixels, atol=1e-4)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"share": 0}, {"share": 1.1}])
def test_impossible_cuts_are_refused(arguments):
    with pytest.raises(ArgumentError, match="expected a size"):
        resize_and_crop(**arguments)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_another_layout_is_told_the_right_one(name, tmp_path):
    (tmp_path / "holiday.txt").touch()
    with pytest.raises(DatasetError) as caught:
        CLASSIFICATION_DATASETS[name](tmp_path)
    assert CLASSIFICATION_DATASETS[name].layout in str(caught.value)
    assert "found holiday.txt" in str(caught.value)
    assert "download" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_missing_folder_is_told(name, tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        CLASSIFICATION_DATASETS[name](tmp_path / "x")


def test_a_part_of_imagenet_would_shift_the_labels_and_is_refused(tmp_path):
    lay_out_imagenet(tmp_path)
    (tmp_path / "val" / "n00000003" / "1.JPEG").unlink()
    (tmp_path / "val" / "n00000003").rmdir()
    with pytest.raises(DatasetError, match=r"999 classes.*'folder'"):
        CLASSIFICATION_DATASETS["imagenet"](tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("images", "1 a.jpg\n2\n", "images.txt has lines"),
        ("image_class_labels", "1 1\n", "name different images"),
        ("image_class_labels", "1 x\n2 1\n3 1\n4 1\n", "invalid literal"),
    ],
)
def test_damaged_lists_of_cub_are_told(name, text, message, tmp_path):
    lay_out_cub(tmp_path)
    (tmp_path / "CUB_200_2011" / f"{name}.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        CLASSIFICATION_DATASETS["cub200"](tmp_path)


@pytest.mark.parametrize("name", ["imagenet", "pets", "flowers102", "cub200"])
def test_unknown_splits_are_told_the_known_ones(name, tmp_path):
    with pytest.raises(ArgumentError, match=r"no split 'tets'.*train"):
        CLASSIFICATION_DATASETS[name](tmp_path, "tets")


def test_unknown_sets_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="flowers102"):
        CLASSIFICATION_DATASETS["flowers"]


@pytest.mark.parametrize("name", ["folder", "pets", "cub200"])
def test_damaged_and_missing_images_are_told(name, tmp_path):
    LAYOUTS[name](tmp_path)
    dataset = CLASSIFICATION_DATASETS[name](tmp_path, "test")
    first = min(path for path in tmp_path.rglob("*") if path.suffix in {".png", ".jpg"})
    first.write_bytes(first.read_bytes()[:-20])
    with pytest.raises(UnreadableImageError, match="image 0"):
        dataset[0]
    first.unlink()
    with pytest.raises(UnreadableImageError, match="image 0"):
        dataset[0]
