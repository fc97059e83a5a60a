"""``noisewise sweep``: a row for every combination, resumed, audited and drawn."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from command_line import photo
from safetensors.torch import save_file

NAME = "test_resnet"


@pytest.fixture
def arguments(tmp_path):
    for seed in range(12):
        photo(tmp_path / "classes" / "ab"[seed % 2] / f"{seed}.png", seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(timm.create_model(NAME, num_classes=2).state_dict(), tmp_path / "net.safetensors")
    weights, rows = tmp_path / "net.safetensors", tmp_path / "rows.jsonl"
    named = ("sweep", f"timm:{NAME}", "--weights", weights, "--data", tmp_path / "classes", "-o", rows, "--size", 32)
    return (*named, "--noise", "optimal")


def test_a_sweep_is_audited_drawn_and_resumed(run, arguments, tmp_path):
    options = ("--strengths", "0,1", "--layers", "first,-1", "--plot", tmp_path / "map.png", "--json")
    ran = run(*arguments, *options)
    assert ran.code == 0
    rows = json.loads(ran.out)
    told = [(row["layer"], row["strength"], row["audit"]) for row in rows]
    bad = "depends on the batch"
    assert told == [("first", 0, "passed"), (-1, 0, "passed"), ("first", 1, bad), (-1, 1, bad)]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "rows.jsonl").read_bytes()
    assert json.loads(run(*arguments, *options, "--overwrite").out) == rows
    assert (tmp_path / "rows.jsonl").read_bytes() == written


def test_training_comes_with_its_control(run, arguments, tmp_path):
    options = ("--train", tmp_path / "classes", "--when", "train,both", "--strengths", "1", "--steps", 2)
    ran = run(*arguments, *options, "--json")
    assert ran.code == 0, ran.err
    rows = json.loads(ran.out)
    assert [(row["noise"], row["when"]) for row in rows] == [
        ("none", "train"),
        ("optimal", "train"),
        ("optimal", "both"),
    ]
    assert [row["audit"] for row in rows] == ["passed", "passed", "depends on the batch"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--when", "later"), "--when from train, test, both"),
        (("--when", "train"), "name the training images with --train"),
        (("--strengths", "much"), "such as 0.1,0.3,1"),
        (("--strengths", "-1"), "such as 0.1,0.3,1"),
        (("--layers", "layer9"), "nearest: layer"),
        (("--noise", "optimum"), "did you mean 'optimal'"),
        (("--noise", "circular", "--plot", "map.png"), "one --noise at one --when"),
        (("--plot", "map.xyz"), "ends in .png, .svg, .pdf"),
    ],
)
def test_bad_input_is_told_in_one_line(run, arguments, options, told):
    ran = run(*arguments, *options)
    assert ran.code == 2
    assert told in ran.err
    assert ran.err.count("\n") == 1


def test_a_file_of_something_else_stays(run, arguments, tmp_path):
    (tmp_path / "rows.jsonl").write_text("dear diary\n")
    ran = run(*arguments)
    assert (ran.code, (tmp_path / "rows.jsonl").read_text()) == (2, "dear diary\n")
