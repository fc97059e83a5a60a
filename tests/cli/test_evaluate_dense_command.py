"""``noisewise evaluate segmentation`` and ``detection``, and ``harden`` on what they measure."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from command_line import photo
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import get_model

SPEC = "torchvision:lraspp_mobilenet_v3_large"

DETECTOR = """
import torch
from torch import nn


class Middle(nn.Module):
    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.25))

    def forward(self, images):
        height, width = images.shape[-2:]
        first, last = self.share, 1 - self.share
        box = torch.stack([first * width, first * height, last * width, last * height])[None]
        return [{"boxes": box, "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}]


def build():
    return Middle()
"""


@pytest.fixture
def camvid(tmp_path):
    for split in ("test", "train"):
        for seed in range(3):
            photo(tmp_path / "camvid" / split / f"{seed}.png", seed=seed)
            labels = np.random.default_rng(seed).integers(0, 12, (6, 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            target = tmp_path / "camvid" / f"{split}annot" / f"{seed}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(target)
    return tmp_path / "camvid"


@pytest.fixture
def segmenter(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = get_model(SPEC.removeprefix("torchvision:"), num_classes=11, weights_backbone=None)
    save_file(network.state_dict(), tmp_path / "segmenter.safetensors")
    return tmp_path / "segmenter.safetensors"


def test_a_segmenter_is_measured_hardened_and_compared(run, camvid, segmenter, tmp_path):
    data = ("--data", camvid, "--dataset", "camvid", "--noise", "gaussian:sigma=30", "--json")
    rows = json.loads(run("evaluate", "segmentation", SPEC, "--weights", segmenter, *data).out)
    assert [row["images"] for row in rows] == ["clean", "gaussian:sigma=30"]
    assert all(0 <= row[name] <= 100 for row in rows for name in ("miou", "accuracy", "boundary_iou"))
    hardened, images = tmp_path / "hardened.safetensors", camvid / "train"
    options = ("--images", images, "--noise", "gaussian:sigma=30", "--size", 48, "-o", hardened, "--json")
    told = json.loads(run("harden", SPEC, "--weights", segmenter, *options).out)
    assert sum(layer["status"].startswith("error left") for layer in told["layers"]) > 10
    rows = json.loads(run("evaluate", "segmentation", SPEC, "--weights", segmenter, "--against", hardened, *data).out)
    assert all(row["ci95"][0] <= row["difference"] <= row["ci95"][1] for row in rows)
    assert rows[1]["difference"] == pytest.approx(rows[1]["against"] - rows[1]["miou"], abs=0.02)


def test_segmentation_says_what_does_not_fit(run, camvid, segmenter, tmp_path):
    arguments = ("--data", camvid, "--dataset", "camvid")
    assert "does it belong" in run("evaluate", "segmentation", SPEC, *arguments).err
    assert "did you mean 'camvid'" in run("evaluate", "segmentation", SPEC, *arguments[:3], "camvd").err
    assert "SPLITannot" in run("evaluate", "segmentation", SPEC, "--data", tmp_path / "no", *arguments[2:]).err
    Image.open(camvid / "test/0.png").crop((0, 0, 56, 48)).save(camvid / "test/0.png")
    Image.open(camvid / "testannot/0.png").crop((0, 0, 56, 48)).save(camvid / "testannot/0.png")
    mixed = run("evaluate", "segmentation", SPEC, "--weights", segmenter, *arguments).err
    assert "images differ in size (48x56 and 48x64)" in mixed
    assert "--size HEIGHTxWIDTH" in mixed
    assert run("evaluate", "segmentation", SPEC, "--weights", segmenter, *arguments, "--batch-size", 1).code == 0
    ran = run("harden", SPEC, "--images", camvid, "--noise", "poisson", "--task", "segmenting", "-o", "x.safetensors")
    assert "expected --task classification, segmentation, detection" in ran.err


def test_a_detector_is_measured(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "detectors.py").write_text(DETECTOR)
    photo(tmp_path / "yolo/images/val2017/a.png")
    (tmp_path / "yolo/labels/val2017").mkdir(parents=True)
    (tmp_path / "yolo/labels/val2017/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    arguments = ("--data", tmp_path / "yolo", "--dataset", "yolo", "--noise", "gaussian:sigma=5", "--json")
    rows = json.loads(run("evaluate", "detection", "detectors:build", *arguments).out)
    assert [row["images"] for row in rows] == ["clean", "gaussian:sigma=5"]
    assert all(row["ap"] == pytest.approx(100) for row in rows)
    save_file({"share": torch.tensor(0.3)}, tmp_path / "smaller.safetensors")
    against = ("--against", tmp_path / "smaller.safetensors", "--resamples", 5)
    rows = json.loads(run("evaluate", "detection", "detectors:build", *arguments, *against).out)
    # 0.4 by 0.4 in 0.5 by 0.5 overlaps by 0.64, which counts at the overlaps 0.50, 0.55 and 0.60
    assert all(row["against"] == pytest.approx(30) and row["difference"] == pytest.approx(-70) for row in rows)
    assert "SPLIT/NAME" in run("evaluate", "detection", "detectors:build", *arguments[:1], "no", *arguments[2:]).err


@pytest.mark.slow
def test_a_detector_is_hardened(run, tmp_path):
    spec, weights, hardened = (
        "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn",
        tmp_path / "a.pt",
        tmp_path / "b.safetensors",
    )
    torch.save(get_model(spec.removeprefix("torchvision:"), weights_backbone=None, num_classes=4).state_dict(), weights)
    for seed in range(3):
        photo(tmp_path / "images" / f"{seed}.png", seed=seed)
    options = ("--images", tmp_path / "images", "--noise", "gaussian:sigma=30", "--size", 64, "-o", hardened)
    ran = run("harden", spec, "--weights", weights, *options)
    assert ran.code == 0
    assert "noisewise evaluate detection" in ran.out
    assert hardened.is_file()
