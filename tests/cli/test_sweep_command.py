"""``noisewise sweep``: a row for every combination, resumed, audited and drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import photo, save_random_weights
from scipy import stats


@pytest.fixture
def arguments(classified, tmp_path):
    return ("sweep", *classified, "-o", tmp_path / "rows.jsonl", "--noise", "optimal")


def test_a_sweep_is_audited_drawn_and_resumed(run, arguments, tmp_path):
    options = ("--strengths", "0,1", "--layers", "first,-1", "--plot", tmp_path / "map.png", "--json")
    ran = run(*arguments, *options)
    assert ran.code == 0
    rows = json.loads(ran.out)
    told = [(row["strength"], row["layer"], row["order_dependent"]) for row in rows]
    assert told == [(0, "first", False), (0, -1, False), (1, "first", True), (1, -1, True)]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "rows.jsonl").read_bytes()
    again = run(*arguments, *options[:-3], "--json")
    assert json.loads(again.out) == rows
    assert (tmp_path / "rows.jsonl").read_bytes() == written


def test_other_weights_are_other_rows_and_overwriting_begins_anew(run, arguments, tmp_path):
    run(*arguments, "--strengths", "1")
    save_random_weights(tmp_path / "net.safetensors", seed=1)
    run(*arguments, "--strengths", "1")
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2
    assert run(*arguments, "--strengths", "1", "--overwrite").code == 0
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1


def test_people_are_told_the_verdict_in_words(run, arguments):
    ran = run(*arguments, "--strengths", "0,1")
    assert "passed" in ran.out
    assert "failed" in ran.out
    assert "\N{PLUS-MINUS SIGN}" not in ran.out


def test_people_are_told_means_over_the_seeds_and_machines_every_run(run, arguments, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    options = ("--noise", "gaussian", "--strengths", "1", "--seeds", 3)
    rows = json.loads(run(*arguments, *options, "--json").out)
    assert [(row["seed"], row["noise"]) for row in rows] == [
        (seed, noise) for seed in range(3) for noise in ("optimal", "gaussian")
    ]
    ran = run(*arguments, *options)
    table = {line.split()[0]: line.split() for line in ran.out.splitlines()}
    assert table["noise"] == ["noise", "strength", "layer", "when", "off", "shuffled", "sorted", "bs1", "audit"]
    found = [row["sorted"] for row in rows if row["noise"] != "optimal"]
    half = stats.t.ppf(0.975, 2) * stats.sem(found)
    assert half > 0
    assert table["gaussian"][8:10] == [f"{np.mean(found):.2f}", f"\N{PLUS-MINUS SIGN}{half:.2f}"]
    assert (table["optimal"][-1], table["gaussian"][-1]) == ("failed", "passed")
    assert "means over 3 seeds" in ran.out


def test_a_strength_beyond_the_range_of_a_noise_is_told_before_any_work(run, arguments, tmp_path):
    missing = ("--weights", tmp_path / "missing.pt")
    ran = run(*arguments, "--noise", "circular:strength=0.3", "--strengths", "1,4", *missing)
    assert ran.code == 2
    assert "a factor of at most" in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "rows.jsonl").exists()


def test_other_classes_to_train_on_are_refused(run, arguments, tmp_path):
    for name in "ac":
        photo(tmp_path / "other" / name / "1.png", seed=1)
    ran = run(*arguments, "--train", tmp_path / "other", "--when", "train")
    assert ran.code == 2
    assert "'b' is in one of them only" in ran.err


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
    assert [row["order_dependent"] for row in rows] == [False, False, True]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--when", "later"), "--when from train, test, both"),
        (("--when", "train"), "name the training images with --train"),
        (("--strengths", "much"), "such as 0.1,0.3,1"),
        (("--strengths", "-1"), "such as 0.1,0.3,1"),
        (("--layers", "first, layer9"), "nearest: layer"),
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


def test_bad_input_with_overwrite_costs_no_rows(run, arguments, tmp_path):
    assert run(*arguments, "--strengths", "0").code == 0
    rows = (tmp_path / "rows.jsonl").read_bytes()
    for wrong in (("--layers", "layer9"), ("--weights", "missing.pt"), ("--data", "nowhere")):
        assert run(*arguments, "--strengths", "0", "--overwrite", *wrong).code == 2
        assert (tmp_path / "rows.jsonl").read_bytes() == rows


def test_a_file_of_something_else_stays(run, arguments, tmp_path):
    (tmp_path / "rows.jsonl").write_text("dear diary\n")
    ran = run(*arguments)
    assert (ran.code, (tmp_path / "rows.jsonl").read_text()) == (2, "dear diary\n")
