"""``noisewise adapt``: from two folders to weights that load, with the accuracy on both."""

from __future__ import annotations

import json

import pytest
import timm
from command_line import photo
from safetensors.torch import load_file

from noisewise.methods.adaptation import transferable

NAME = "test_vit"


@pytest.fixture
def arguments(tmp_path):
    for seed in range(8):
        photo(tmp_path / "source" / "ab"[seed % 2] / f"{seed}.png", seed=seed)
        photo(tmp_path / "target" / "ab"[seed % 2] / f"{seed}.png", seed=50 + seed)
    folders = ("--source", tmp_path / "source", "--target", tmp_path / "target")
    return ("adapt", f"timm:{NAME}", *folders, "-o", tmp_path / "out.safetensors", "--steps", 2, "--batch-size", 4)


def test_the_result_loads_into_a_transferable_network(run, arguments, tmp_path):
    ran = run(*arguments, "--inject", "last=circular:strength=0.3", "--json")
    assert ran.code == 0, ran.err
    rows = json.loads(ran.out)
    assert [(row["images"], row["number"]) for row in rows] == [("trained on", 8), ("target", 8)]
    assert all(row["low"] <= row["top1"] <= row["high"] for row in rows)
    assert "1000 outputs" in ran.err
    network = transferable(timm.create_model(NAME, num_classes=2))
    network.load_state_dict(load_file(tmp_path / "out.safetensors"))
    assert not list(tmp_path.glob("*.checkpoint"))


def test_without_adversaries_on_patches_the_result_loads_in_plain_timm(run, arguments, tmp_path):
    assert run(*arguments, "--objective", "dann").code == 0
    timm.create_model(NAME, num_classes=2).load_state_dict(load_file(tmp_path / "out.safetensors"))


def test_a_target_without_classes_is_adapted_to_but_not_measured(run, arguments, tmp_path):
    for path in sorted((tmp_path / "target").glob("*/*.png")):
        path.rename(tmp_path / "target" / path.name)
    ran = run(*arguments, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)[1] == {"images": "target", "number": 0}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--objective", "tvd"), "did you mean 'tvt'"),
        (("--inject", "optimal"), "PLACE=NOISE"),
        (("--batch-size", "64"), "at least one batch of 64 images"),
        (("--source", "nowhere"), "nowhere"),
        (("--target", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_told_in_one_line(run, arguments, options, told, tmp_path):
    ran = run(*arguments, *options)
    assert ran.code == 2
    assert told in ran.err
    assert ran.err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out.safetensors").exists()


def test_what_is_no_vision_transformer_is_refused(run, arguments):
    ran = run("adapt", "timm:test_resnet", *arguments[2:])
    assert ran.code == 2
    assert "timm:vit_small_patch16_224" in ran.err


def test_a_folder_of_one_class_is_refused_with_the_folder_that_is_meant(run, arguments, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "source").rename(tmp_path / "images" / "source")
    ran = run(*arguments[:3], tmp_path / "images", *arguments[4:])
    assert ran.code == 2
    assert f"such as {tmp_path / 'images' / 'source'}" in ran.err


def test_an_existing_output_stays(run, arguments, tmp_path):
    (tmp_path / "out.safetensors").write_bytes(b"mine")
    assert run(*arguments).code == 2
    assert (tmp_path / "out.safetensors").read_bytes() == b"mine"
