"""Re-identification sets are read from their usual layouts, and a wrong layout is named."""

from __future__ import annotations

import dataclasses
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from noisewise.data.reidentification import REIDENTIFICATION_DATASETS, ReidentificationImage, read_vehicleid
from noisewise.errors import DatasetError, UnknownNameError

MARKET = {
    "bounding_box_train/0002_c1s1_000451_03.jpg": ("0002", "1"),
    "query/0003_c2s1_000776_00.jpg": ("0003", "2"),
    "bounding_box_test/-1_c3s3_000008_00.jpg": None,
    "bounding_box_test/0000_c6s1_008951_04.jpg": ("0000", "6"),
    "bounding_box_test/0003_c1s6_015971_02.jpg": ("0003", "1"),
}
DUKE = {
    "bounding_box_train/0001_c2_f0046182.jpg": ("0001", "2"),
    "query/0005_c2_f0046985.jpg": ("0005", "2"),
    "bounding_box_test/0005_c5_f0052275.jpg": ("0005", "5"),
}
CUHK = {
    "bounding_box_train/0003_c1_21.png": ("0003", "1"),
    "query/0001_c1_1.png": ("0001", "1"),
    "bounding_box_test/0001_c2_6.png": ("0001", "2"),
}


def lay_out(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_lists(root: Path, **lists: str) -> None:
    for name, lines in lists.items():
        (root / f"{name}.txt").parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.txt").write_text(lines)


def summary(root: Path, images: tuple[ReidentificationImage, ...]) -> dict[str, tuple[str, str]]:
    return {image.path.relative_to(root).as_posix(): (image.identity, image.camera) for image in images}


@pytest.mark.parametrize(("name", "files"), [("market1501", MARKET), ("dukemtmc", DUKE), ("cuhk03", CUHK)])
def test_bounding_box_folders(name, files, tmp_path):
    lay_out(tmp_path, *files, "query/Thumbs.db", "readme.txt")
    data = REIDENTIFICATION_DATASETS[name](tmp_path)
    splits = {"bounding_box_train": data.train, "query": data.query, "bounding_box_test": data.gallery}
    for folder, images in splits.items():
        expected = {file: labels for file, labels in files.items() if file.startswith(folder) and labels}
        assert summary(tmp_path, images) == expected
    assert data.same_camera_is_junk
    assert not data.leave_one_out


def test_msmt17(tmp_path):
    lay_out(tmp_path, "train/x", "test/x")
    write_lists(
        tmp_path,
        list_train="0000/0000_000_01_0303morning_0008_0.jpg 0\n0000/0000_001_02_0303morning_0009_0.jpg 0\n",
        list_val="0001/0001_000_14_0113noon_0330_0.jpg 1\n",
        list_query="0000/0000_003_05_0303afternoon_1109_0.jpg 0\n",
        list_gallery="0000/0000_004_07_0303afternoon_1110_1.jpg 0\n\n",
    )
    data = REIDENTIFICATION_DATASETS["msmt17"](tmp_path)
    assert summary(tmp_path, data.train) == {
        "train/0000/0000_000_01_0303morning_0008_0.jpg": ("0", "01"),
        "train/0000/0000_001_02_0303morning_0009_0.jpg": ("0", "02"),
        "train/0001/0001_000_14_0113noon_0330_0.jpg": ("1", "14"),
    }
    assert summary(tmp_path, data.query) == {"test/0000/0000_003_05_0303afternoon_1109_0.jpg": ("0", "05")}
    assert summary(tmp_path, data.gallery) == {"test/0000/0000_004_07_0303afternoon_1110_1.jpg": ("0", "07")}
    assert data.same_camera_is_junk


def lay_out_vehicles(root: Path) -> None:
    test = "".join(f"{10 * vehicle + view:07d} {vehicle}\n" for vehicle in range(30) for view in range(5))
    for size in (800, 1600, 2400):
        write_lists(root / "train_test_split", **{"train_list": "0066362 1107\n", f"test_list_{size}": test})


@pytest.mark.parametrize("size", [800, 1600, 2400])
def test_vehicleid_has_one_image_of_each_vehicle_in_the_gallery(size, tmp_path):
    lay_out_vehicles(tmp_path)
    data = REIDENTIFICATION_DATASETS[f"vehicleid-{size}"](tmp_path)
    assert summary(tmp_path, data.train) == {"image/0066362.jpg": ("1107", "")}
    assert sorted(image.identity for image in data.gallery) == sorted(str(vehicle) for vehicle in range(30))
    assert Counter(image.identity for image in data.query) == {str(vehicle): 4 for vehicle in range(30)}
    assert not set(data.query) & set(data.gallery)
    assert not data.same_camera_is_junk


def test_the_seed_decides_the_gallery_of_vehicleid(tmp_path):
    lay_out_vehicles(tmp_path)
    first, again, other = (read_vehicleid(tmp_path, seed=seed).gallery for seed in (1, 1, 2))
    assert first == again != other


def test_nyala(tmp_path):
    lay_out(tmp_path, "train/7/12_leftphoto.jpg", "train/7/12_rightphoto(1).jpg", "test/1/14_leftphoto.jpg")
    data = REIDENTIFICATION_DATASETS["nyala"](tmp_path)
    assert summary(tmp_path, data.train) == {
        "train/7/12_leftphoto.jpg": ("7", "left"),
        "train/7/12_rightphoto(1).jpg": ("7", "right"),
    }
    assert summary(tmp_path, data.query) == {"test/1/14_leftphoto.jpg": ("1", "left")}
    assert data.leave_one_out
    assert not data.same_camera_is_junk
    assert dataclasses.replace(data, same_camera_is_junk=True).leave_one_out


def test_nyala_as_it_is(data_dir, tmp_path):
    with tarfile.open(data_dir / "nyala.tar") as archive:
        some = [file for file in archive if file.name.split("/")[1] in {"1", "10", "218"}]
        archive.extractall(tmp_path, members=some, filter="data")
    data = REIDENTIFICATION_DATASETS["nyala"](tmp_path)
    images = data.train + data.query
    assert {image.path for image in images} == {tmp_path / file.name for file in some if file.isfile()}
    assert {image.identity for image in images} == {"1", "10", "218"}
    assert all(f"_{image.camera}photo" in image.path.name for image in images)


@pytest.mark.parametrize("name", REIDENTIFICATION_DATASETS)
def test_another_folder_is_told_the_layout(name, tmp_path):
    lay_out(tmp_path, "photo.jpg")
    with pytest.raises(DatasetError, match=r"expected .*/.* found no (folder )?\w+"):
        REIDENTIFICATION_DATASETS[name](tmp_path)


def test_a_file_that_is_named_otherwise_is_shown(tmp_path):
    lay_out(tmp_path, *MARKET, "query/selfie.jpg")
    with pytest.raises(DatasetError, match=r"0002_c1s1_000451_03\.jpg.*'selfie\.jpg' in query"):
        REIDENTIFICATION_DATASETS["market1501"](tmp_path)


def test_a_line_of_another_form_is_shown(tmp_path):
    lay_out_vehicles(tmp_path)
    write_lists(tmp_path / "train_test_split", train_list="0066362,1107\n")
    with pytest.raises(DatasetError, match=r"'0066362,1107' in train_test_split/train_list\.txt"):
        REIDENTIFICATION_DATASETS["vehicleid-800"](tmp_path)


def test_an_empty_split_is_named(tmp_path):
    lay_out(tmp_path, *MARKET)
    for image in (tmp_path / "query").iterdir():
        image.unlink()
    with pytest.raises(DatasetError, match="no images in query"):
        REIDENTIFICATION_DATASETS["market1501"](tmp_path)


def test_unknown_sets_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="market1501"):
        REIDENTIFICATION_DATASETS["market1500"]
