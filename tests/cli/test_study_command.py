"""``noisewise study table1``: each row on a small set in its own layout, beside what ``evaluate`` says of it."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import timm
import torch
from command_line import NETWORK, photo
from PIL import Image
from safetensors.torch import save_file

from noisewise.data.classification import resize_and_crop
from noisewise.models import resolve_preprocess

NETWORKS = """
import torch
from torch import nn


class Bright(nn.Module):
    def __init__(self):
        super().__init__()
        self.tone = nn.Conv2d(3, 1, 1)

    def forward(self, images):
        tone = self.tone(images)[0, 0]
        rows, columns = (tone > tone.mean()).nonzero().unbind(1)
        box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])[None]
        return [{"boxes": box.float(), "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}]


def segmenter():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 150, 1))


def embedder():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
"""


class Case(NamedTuple):
    """A row on small data: what is asked of the study, and of ``evaluate``."""

    folder: Path
    network: str
    weights: Path
    size: tuple[object, ...]
    evaluate: tuple[object, ...]
    evaluated: str
    """What ``evaluate`` calls the figure."""


def saved(network: torch.nn.Module, folder: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = {
            name: torch.randn(one.shape) if one.dtype.is_floating_point else one
            for name, one in network.state_dict().items()
        }
    save_file(state, folder / "weights.safetensors")
    network.load_state_dict(state)
    network.eval()
    return folder / "weights.safetensors"


def imagenet(root: Path) -> Case:
    """A thousand classes of one photograph each, and many in the class that the network gives."""
    picture, network = photo(root / "any.png"), timm.create_model(NETWORK, num_classes=1000).eval()
    save_file(network.state_dict(), root / "weights.safetensors")
    with torch.no_grad():
        pixels = resize_and_crop(32)(Image.open(picture))[None]
        said = int(network(resolve_preprocess(network)(pixels)).argmax())
    for split in ("train", "val"):
        for index in range(1000):
            (root / "imagenet" / split / f"n{index:08}").mkdir(parents=True)
            os.link(picture, root / "imagenet" / split / f"n{index:08}" / "0.png")
    for number in range(250):
        os.link(picture, root / "imagenet/val" / f"n{said:08}" / f"more{number}.png")
    options = ("classification", f"timm:{NETWORK}", "--dataset", "imagenet", "--size", 32)
    return Case(
        root / "imagenet", f"timm:{NETWORK}", root / "weights.safetensors", ("--size", "32x32"), options, "top1"
    )


def msmt17(root: Path, networks: object) -> Case:
    folder = root / "msmt17"
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    for number, part in enumerate(lists):
        for person in range(3):
            for camera in (1, 2):
                name = f"{person:04}/{person:04}_{number}{camera}_{camera:02}_0303morning_0008_0.jpg"
                split = "train" if part in ("train", "val") else "test"
                photo(folder / split / name, seed=100 * number + 10 * person + camera, size=(16, 32))
                lists[part].append(f"{name} {person}")
    for part, lines in lists.items():
        (folder / f"list_{part}.txt").write_text("\n".join(lines))
    weights, spec = saved(networks.embedder(), root), "table1_networks:embedder"
    size = ("--size", "24x12")
    return Case(folder, spec, weights, size, ("reid", spec, "--dataset", "msmt17", *size), "mAP")


def coco(root: Path, networks: object) -> Case:
    """Bright boxes in the dark; the annotation of every other photograph is beside its box."""
    rng = np.random.default_rng(0)
    for split in ("val2017", "train2017"):
        images, annotations = [], []
        for number in range(4):
            pixels = rng.integers(0, 30, (40, 50 + number, 3), dtype=np.uint8)
            pixels[10:30, 12:32] += 200
            (root / "coco" / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / "coco" / split / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png"})
            box = [12 + 20 * (number % 2), 10, 20, 20]
            annotations.append({"image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0, "id": number + 1})
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "lamp"}]}
        (root / "coco/annotations").mkdir(exist_ok=True)
        (root / f"coco/annotations/instances_{split}.json").write_text(json.dumps(content))
    save_file(
        {"tone.weight": torch.full((1, 3, 1, 1), 0.4), "tone.bias": torch.tensor([0.5])}, root / "weights.safetensors"
    )
    spec = "table1_networks:Bright"
    return Case(root / "coco", spec, root / "weights.safetensors", (), ("detection", spec, "--dataset", "coco"), "ap")


def ade20k(root: Path, networks: object) -> Case:
    """Photographs of two sizes, the right half of each annotated as the network has it."""
    network, folder = networks.segmenter(), root / "ade20k"
    weights = saved(network, root)
    for split in ("validation", "training"):
        for seed in range(3):
            path = photo(folder / "images" / split / f"{seed}.png", seed=seed, size=(24 + 8 * (seed % 2), 16))
            with torch.no_grad():
                pixels = torch.from_numpy(np.array(Image.open(path))).movedim(-1, 0)[None] / 255
                labels = network(pixels).argmax(1)[0].numpy().astype(np.uint8) + 1
            labels[:, :12] = 3 + seed
            (folder / "annotations" / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(folder / "annotations" / split / f"{seed}.png")
    spec = "table1_networks:segmenter"
    evaluate = ("segmentation", spec, "--dataset", "ade20k", "--batch-size", 1)
    return Case(folder, spec, weights, (), evaluate, "miou")


@pytest.fixture
def networks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "table1_networks.py").write_text(NETWORKS)
    return importlib.import_module("table1_networks")


def agrees(run: Callable[..., object], row: str, option: str, case: Case, published: tuple[float, float] | None):
    """The JSON of the row, once it is what ``evaluate`` says and what was published."""
    arguments = ("--row", row, option, case.folder, "--network", case.network, "--weights", case.weights, *case.size)
    ran = run("study", "table1", *arguments, "--limit", 5, "--resamples", 20, "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    (expected,) = json.loads(
        run("evaluate", *case.evaluate, "--weights", case.weights, "--data", case.folder, "--json").out
    )
    measured = told["measured"]
    assert told["row"] == row
    assert 0 < expected[case.evaluated] < 100
    assert measured["network"] == case.network
    assert measured["baseline"] == expected[case.evaluated]
    assert measured["difference"] == pytest.approx(measured["DenoiseRep"] - measured["baseline"], abs=0.011)
    assert measured["ci95"][0] <= measured["difference"] <= measured["ci95"][1]
    assert (told["published"]["baseline"], told["published"]["DenoiseRep"]) == (published or (None, None))
    return told


@pytest.mark.slow
def test_classification(run, tmp_path):
    told = agrees(run, "classification", "--imagenet", imagenet(tmp_path), (81.8, 82.1))
    assert told["published"]["network"] == "Swin V2-T"
    assert (told["data"], told["metric"]) == ("ImageNet", "top-1 in %")
    assert (told["test_images"], told["training_images"]) == (1250, 5)


def test_reidentification(run, tmp_path, networks):
    told = agrees(run, "reid", "--msmt17", msmt17(tmp_path, networks), (66.3, 67.3))
    assert told["published"]["network"] == "TransReID-SSL ViT-S"
    assert (told["test_images"], told["training_images"]) == (12, 5)
    assert (told["layers"], told["other_layers"]) == (1, 0)


def test_detection(run, tmp_path, networks):
    pytest.importorskip("faster_coco_eval")
    told = agrees(run, "detection", "--coco", coco(tmp_path, networks), None)
    assert (told["test_images"], told["training_images"]) == (4, 4)
    assert told["published"]["network"] is None
    assert any("Table 1 of the paper" in note and "2406.08773" in note for note in told["notes"])


def test_segmentation(run, tmp_path, networks):
    told = agrees(run, "segmentation", "--ade20k", ade20k(tmp_path, networks), None)
    assert (told["test_images"], told["training_images"]) == (3, 3)
    assert any("Table 1 of the paper" in note for note in told["notes"])


def lines(text: str) -> dict[str, list[str]]:
    """The words of each line by the first."""
    return {line.split()[0]: line.split() for line in text.splitlines()}


def test_what_was_published_stands_beside_what_was_measured(run, tmp_path, networks):
    case = msmt17(tmp_path, networks)
    arguments = ("--msmt17", case.folder, "--network", case.network, "--weights", case.weights, *case.size)
    ran = run("study", "table1", "--row", "reid", *arguments)
    assert ran.out.startswith("reid, MSMT17: mAP in %\n")
    told = lines(ran.out)
    assert told["figures"][1:] == ["baseline", "DenoiseRep", "difference", "ci95"]
    assert told["published"][1:] == ["66.30", "67.30", "1.00", "-"]
    assert all(0 <= float(figure) <= 100 for figure in told["measured"][1:3])
    assert "published: TransReID-SSL ViT-S, from the results table of github.com/wangguanan/DenoiseRep" in ran.out
    assert f"measured: {case.network} on 12 clean test images; closed form" in ran.out
    assert "fitted without labels on 12 training images" in ran.out


def test_figures_that_nobody_verified_are_dashes(run, tmp_path, networks):
    case = ade20k(tmp_path, networks)
    arguments = ("--ade20k", case.folder, "--network", case.network, "--weights", case.weights)
    ran = run("study", "table1", "--row", "segmentation", *arguments)
    assert lines(ran.out)["published"][1:] == ["-"] * 4
    assert "published: not verified here; read it in Table 1 of the paper, arXiv 2406.08773, and give it" in ran.out


def test_figures_that_the_user_has_read_stand_beside_what_was_measured(run, tmp_path, networks):
    case = ade20k(tmp_path, networks)
    arguments = ("--ade20k", case.folder, "--network", case.network, "--weights", case.weights)
    ran = run("study", "table1", "--row", "segmentation", *arguments, "--published", 40.5, 41.25)
    assert lines(ran.out)["published"][1:] == ["40.50", "41.25", "0.75", "-"]
    assert f"published: {case.network}, from --published" in ran.out


WRONG = {
    ("--row", "detecton"): "did you mean 'detection'",
    ("--row", "detection"): "needs the folder of COCO; name it with --coco DIR",
    ("--row", "reid", "--coco", "x"): "--row reid reads --msmt17 alone, got --coco",
    ("--row", "detection", "--coco", "x", "--ade20k", "y"): "--row detection reads --coco alone, got --ade20k",
    ("--row", "detection", "--coco", "x"): "trained weights of torchvision:fasterrcnn_resnet50_fpn, got none",
    ("--row", "classification", "--imagenet", "x"): "trained weights of timm:swinv2_tiny_window8_256, got none",
    ("--row", "segmentation", "--ade20k", "x"): "trained weights of torchvision:fcn_resnet50, got none",
    ("--row", "reid", "--msmt17", "x"): "TransReID-SSL ViT-S; name yours with --network",
    (
        "--row",
        "segmentation",
        "--ade20k",
        "x",
        "--published",
        "0.4",
        "410",
    ): "after --published, got 0.4 410; write",
    ("--row", "detection", "--coco", "x", "--size", "8y"): "HEIGHTxWIDTH",
    ("--row", "detection", "--coco", "x", "--network", "table1_networks:Bright", "--size", "8x8"): "leave out --size",
    ("--row", "detection", "--coco", "x", "--network", "table1_networks:Bright"): "annotations/instances_SPLIT.json",
    ("--row", "classification", "--imagenet", "x", "--network", "table1_networks:embedder"): "give it with --size",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_is_wrong_is_told_in_one_line(arguments, run, networks):
    ran = run("study", "table1", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert WRONG[arguments] in ran.err
