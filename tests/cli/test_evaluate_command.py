"""``noisewise evaluate``: figures against those that timm and the labels give directly."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from command_line import photo
from safetensors.torch import save_file

from noisewise.data.classification import CLASSIFICATION_DATASETS, resize_and_crop

NAME = "test_resnet"


@pytest.fixture
def networks(tmp_path):
    paths = []
    with torch.random.fork_rng():
        for seed in range(2):
            torch.manual_seed(seed)
            paths.append(tmp_path / f"{seed}.safetensors")
            save_file(timm.create_model(NAME, num_classes=2).state_dict(), paths[-1])
    return paths


@pytest.fixture
def classes(tmp_path):
    folder = tmp_path / "classes"
    for seed in range(6):
        photo(folder / "ab"[seed % 2] / f"{seed}.png", seed=seed)
    return folder


def test_accuracy_is_that_of_the_network(run, networks, classes):
    ran = run(
        "evaluate",
        "classification",
        f"timm:{NAME}",
        "--weights",
        networks[0],
        "--data",
        classes,
        "--size",
        32,
        "--json",
    )
    (row,) = json.loads(ran.out)
    model = timm.create_model(NAME, num_classes=2, checkpoint_path=str(networks[0])).eval()
    images = CLASSIFICATION_DATASETS["folder"](classes, transform=resize_and_crop(32))
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        right = [int(model((image[None] - mean) / std).argmax()) == label for image, label in images]
    assert row["images"] == "clean"
    assert row["top1"] == pytest.approx(100 * sum(right) / len(right), abs=0.01)


def test_two_networks_are_compared_on_the_same_images(run, networks, classes):
    arguments = ("--weights", networks[0], "--against", networks[1], "--data", classes, "--size", 32, "--json")
    ran = run("evaluate", "classification", f"timm:{NAME}", *arguments, "--noise", "gaussian:sigma=20")
    rows = json.loads(ran.out)
    assert [row["images"] for row in rows] == ["clean", "gaussian:sigma=20"]
    for row in rows:
        assert row["difference"] == pytest.approx(row["against"] - row["top1"], abs=0.02)
        assert row["ci95"][0] <= row["difference"] <= row["ci95"][1]


def test_the_suite_has_every_noise_at_five_severities(run, networks, classes):
    arguments = ("--weights", networks[0], "--data", classes, "--size", 32, "--suite", "--json")
    names = [row["images"] for row in json.loads(run("evaluate", "classification", f"timm:{NAME}", *arguments).out)]
    assert {"clean", "gaussian/1", "gaussian/5", "jpeg/3"} <= set(names)


def test_reidentification_of_a_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        for individual in "ab":
            for seed, flank in enumerate(["left", "right"]):
                photo(tmp_path / "nyala" / split / f"{split}{individual}" / f"{seed}_{flank}photo.jpg", seed=seed)
    (tmp_path / "embedders.py").write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())\n"
    )
    arguments = ("--data", tmp_path / "nyala", "--dataset", "nyala", "--noise", "gaussian:sigma=5", "--json")
    rows = json.loads(run("evaluate", "reid", "embedders:build", *arguments, "--size", "32x48").out)
    assert [row["images"] for row in rows] == ["clean", "gaussian:sigma=5"]
    assert all(0 <= row["mAP"] <= 100 and row["rank10"] == 100 for row in rows)
    for size in ("32x", "1x1", "0", "32x32x32"):
        assert "HEIGHTxWIDTH" in run("evaluate", "reid", "embedders:build", *arguments, "--size", size).err


@pytest.mark.parametrize("data", ["nowhere", "."])
def test_bad_data_is_told_in_one_line(run, networks, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run(
        "evaluate", "classification", f"timm:{NAME}", "--weights", networks[0], "--data", data, "--dataset", "cub200"
    )
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert "CUB_200_2011" in ran.err
