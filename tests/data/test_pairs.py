"""Clean-noisy pairs are found in the layouts of the public sets, and gaps are named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from noisewise.data import LAYOUTS, Layout, Pair, find_pairs, read_image
from noisewise.errors import DatasetError, UnknownNameError

LAID_OUT = {
    "sidd": {
        "Data/0001_S6/010": ("Data/0001_S6/NOISY_SRGB_010.PNG", "Data/0001_S6/GT_SRGB_010.PNG"),
        "Data/0001_S6/011": ("Data/0001_S6/0001_NOISY_SRGB_011.PNG", "Data/0001_S6/0001_GT_SRGB_011.PNG"),
        "Data/0002_S6/010": ("Data/0002_S6/NOISY_SRGB_010.PNG", "Data/0002_S6/GT_SRGB_010.PNG"),
    },
    "polyu": {"Canon_1": ("Canon_1_real.JPG", "Canon_1_mean.JPG"), "x/Sony": ("x/Sony_Real.jpg", "x/Sony_mean.jpeg")},
    "cc": {"5dmark3_1": ("5dmark3_1_real.png", "5dmark3_1_mean.png"), "d800": ("d800_Real.PNG", "d800_MEAN.png")},
    "folders": {"a": ("noisy/a.png", "clean/a.jpg"), "s/b": ("noisy/s/b.png", "GT/s/b.png")},
}


def lay_out(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("layout", LAID_OUT)
def test_each_layout_is_found_by_name_and_by_itself(layout, explicit, tmp_path):
    pairs = LAID_OUT[layout]
    lay_out(tmp_path, *(name for pair in pairs.values() for name in pair), "readme.txt", ".hidden_real.png")
    found = find_pairs(tmp_path, layout if explicit else "auto")
    expected = [Pair(name, tmp_path / noisy, tmp_path / clean) for name, (noisy, clean) in sorted(pairs.items())]
    assert found == expected


@pytest.mark.parametrize(("noisy", "clean"), [("noisy", "clean"), ("noisy", "gt"), ("input", "groundtruth")])
def test_folder_names(noisy, clean, tmp_path):
    lay_out(tmp_path, f"{noisy}/a.png", f"{clean}/a.tif")
    assert find_pairs(tmp_path) == [Pair("a", tmp_path / noisy / "a.png", tmp_path / clean / "a.tif")]


@pytest.mark.parametrize("alone", ["b_real.JPG", "b_mean.JPG"])
def test_an_image_without_counterpart_is_named(alone, tmp_path):
    lay_out(tmp_path, "a_real.JPG", "a_mean.JPG", alone)
    with pytest.raises(DatasetError, match=alone):
        find_pairs(tmp_path)


def test_two_images_for_one_place_are_named(tmp_path):
    lay_out(tmp_path, "noisy/a.png", "noisy/a.jpg", "clean/a.png")
    with pytest.raises(DatasetError, match=r"noisy/a\.jpg and noisy/a\.png"):
        find_pairs(tmp_path)


def test_no_pairs_says_what_was_expected_and_what_was_found(tmp_path):
    lay_out(tmp_path, *(f"photo{i}.png" for i in range(9)))
    with pytest.raises(DatasetError) as caught:
        find_pairs(tmp_path)
    assert all(layout.expects in str(caught.value) for layout in LAYOUTS.values())
    assert "9 images" in str(caught.value)
    assert "photo0.png" in str(caught.value)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(DatasetError, match="no folder"):
        find_pairs(tmp_path / "x")
    with pytest.raises(DatasetError, match="no images"):
        find_pairs(tmp_path)


def test_unknown_layouts_suggest_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="polyu"):
        find_pairs(tmp_path, "poliu")


def test_a_layout_of_ones_own(tmp_path):
    lay_out(tmp_path, "7_iso6400.png", "7_iso100.png")
    LAYOUTS.register("iso")(Layout(r"(.*)_iso6400\.png", r"(.*)_iso100\.png", "*_iso6400.png beside *_iso100.png"))
    try:
        assert [pair.name for pair in find_pairs(tmp_path)] == ["7"]
    finally:
        LAYOUTS._things.pop("iso")


@pytest.mark.skipif("NOISEWISE_DATA" not in os.environ, reason="NOISEWISE_DATA names no data sets")
def test_polyu_pairs_differ_by_their_noise():
    pairs = find_pairs(Path(os.environ["NOISEWISE_DATA"]) / "polyu")
    assert len(pairs) == 100
    noisy, clean = (read_image(path) for path in (pairs[0].noisy_path, pairs[0].clean_path))
    assert noisy.pixels.shape == clean.pixels.shape == (512, 512, 3)
    assert 25 < -10 * np.log10(np.mean((noisy.to_float() - clean.to_float()) ** 2)) < 45
