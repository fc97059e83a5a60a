"""A sweep runs every point once, whatever happens between, and is summed up with honest intervals."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from noisewise.errors import ArgumentError, DatasetError, OutputError
from noisewise.studies import grid_points, heat_map, summarise, sweep

GRID = {"noise": ["off", "circular"], "seed": [0, 1, 2]}


def figures(noise, seed, device):
    return {"accuracy": 80 + seed + (noise == "circular"), "device": device, "process": os.getpid()}


def test_every_point_has_a_row_in_order(tmp_path):
    rows = sweep(figures, grid_points(GRID), tmp_path / "rows.jsonl", devices=["cpu"])
    assert [(row["noise"], row["seed"], row["accuracy"]) for row in rows] == [
        (noise, seed, 80 + seed + (noise == "circular")) for noise in GRID["noise"] for seed in GRID["seed"]
    ]


def test_an_interrupted_sweep_goes_on_and_a_longer_one_extends_it(tmp_path):
    path, ran = tmp_path / "rows.jsonl", []

    def fails_at_four(noise, seed, device):
        if len(ran) == 4:
            raise KeyboardInterrupt
        ran.append((noise, seed))
        return {"accuracy": seed}

    with pytest.raises(KeyboardInterrupt):
        sweep(fails_at_four, grid_points(GRID), path, devices=["cpu"])
    assert len(path.read_text().splitlines()) == 4
    path.write_text(path.read_text() + '{"point": {"noi')
    told = []
    rows = sweep(figures, grid_points(GRID), path, devices=["cpu"], progress=lambda *counts: told.append(counts))
    assert told == [(4, 6), (5, 6), (6, 6)]
    assert [row["accuracy"] for row in rows] == [0, 1, 2, 0, 82, 83]
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert len(sweep(figures, grid_points(GRID | {"seed": range(4)}), path, devices=["cpu"])) == 8


def meets_the_other(noise, seed, device):
    """Ends once both devices have begun a run."""
    folder = Path(noise)
    (folder / device.replace(":", "_")).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.glob("cpu*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return {"device": device, "process": os.getpid()}


@pytest.mark.slow
def test_several_devices_work_at_once(tmp_path):
    points = grid_points({"noise": [str(tmp_path), f"{tmp_path}/."], "seed": [0, 1, 2]})
    rows = sweep(meets_the_other, points, tmp_path / "rows.jsonl", devices=["cpu", "cpu:0"])
    assert [row["seed"] for row in rows] == [0, 1, 2, 0, 1, 2]
    assert {row["device"] for row in rows} == {"cpu", "cpu:0"}
    assert len({row["process"] for row in rows} - {os.getpid()}) == 2


@dataclass
class Counting:
    """Says how often it was called in its process, and for what before."""

    noises: list[str] = field(default_factory=list)

    def __call__(self, *, noise, seed, device):
        self.noises.append(noise)
        time.sleep(0.2)
        return {"calls": len(self.noises), "kept": noise in self.noises[:-1], "process": os.getpid()}


@pytest.mark.slow
def test_what_an_experiment_keeps_serves_the_next_point_of_its_device(tmp_path):
    points = grid_points({"noise": ["off", "circular"], "seed": [0, 1, 2, 3]})
    rows = sweep(Counting(), points, tmp_path / "rows.jsonl", devices=["cpu", "cpu:0"])
    processes = {row["process"] for row in rows}
    assert len(processes) == 2
    assert sum(max(row["calls"] for row in rows if row["process"] == one) for one in processes) == len(points)
    assert sum(row["kept"] for row in rows) >= 5  # 6 unless one device is so slow that the other helps it


def test_an_experiment_that_cannot_be_sent_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="top of a module"):
        sweep(lambda **_: {}, grid_points(GRID), tmp_path / "rows.jsonl", devices=["cpu", "cpu:0"])


def test_one_point_needs_no_second_process(tmp_path):
    point = {"noise": "off", "seed": 0}
    row = sweep(figures, [point], tmp_path / "rows.jsonl", devices=["cpu", "cpu:0"])[0]
    assert (row["process"], row["device"]) == (os.getpid(), "cpu")


def fails_at_one(noise, seed, device):
    if seed == 1:
        raise RuntimeError("this one fails")
    if seed > 2:
        time.sleep(0.3)  # time enough to hear of it
    return meets_the_other(noise, seed, device)


@pytest.mark.slow
def test_a_run_that_fails_keeps_what_is_done_and_starts_no_further_ones(tmp_path):
    path = tmp_path / "rows.jsonl"
    points = [{"noise": str(tmp_path), "seed": seed} for seed in [0, 2, 1, *range(3, 30)]]
    with pytest.raises(RuntimeError, match="this one fails"):
        sweep(fails_at_one, points, path, devices=["cpu", "cpu:0"])
    assert 2 <= len(path.read_text().splitlines()) < 28


def test_another_file_is_not_touched(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n")
    with pytest.raises(DatasetError, match="choose another name"):
        sweep(figures, grid_points(GRID), path)
    assert path.read_text() == "dear diary\n"


def test_numbers_of_numpy_and_torch_are_figures_and_a_resumed_row_is_the_same(tmp_path):
    path, points = tmp_path / "rows.jsonl", [{"sizes": (1, 2), "seed": 0}, {"sizes": (1, 2), "seed": 0}]

    def measured(sizes, seed, device):
        return {"accuracy": np.float32(0.5), "loss": torch.tensor(2.0)}

    first = sweep(measured, points, path, devices=["cpu"])
    assert first == [{"sizes": [1, 2], "seed": 0, "accuracy": 0.5, "loss": 2.0}]
    assert sweep(measured, points, path, devices=["cpu"]) == first
    assert summarise(first, "accuracy", by=["sizes"])[0]["mean"] == 0.5


@pytest.mark.parametrize("figures", [{"seed": 1}, {"network": object()}])
def test_figures_that_cannot_be_kept_are_refused(tmp_path, figures):
    with pytest.raises(ArgumentError, match="expected figures"):
        sweep(lambda **_: figures, [{"seed": 0}], tmp_path / "rows.jsonl", devices=["cpu"])


def test_a_path_that_cannot_be_written_is_refused_before_the_first_run(tmp_path):
    with pytest.raises(OutputError, match="choose another name"):
        sweep(lambda **_: pytest.fail("ran"), [{"seed": 0}], tmp_path, devices=["cpu"])


@pytest.mark.parametrize(
    "call",
    [
        lambda path: sweep(figures, [], path),
        lambda path: sweep(figures, grid_points(GRID), path, devices=[]),
        lambda path: sweep(figures, [{"noise": object()}], path),
        lambda path: grid_points({"seed": []}),
    ],
)
def test_bad_input_is_refused(tmp_path, call):
    with pytest.raises(ArgumentError):
        call(tmp_path / "rows.jsonl")


def test_a_summary_has_the_t_interval_over_seeds(tmp_path):
    rows = sweep(figures, grid_points(GRID), tmp_path / "rows.jsonl", devices=["cpu"])
    off, circular = summarise(rows, "accuracy", by=["noise"])
    low, high = stats.t.interval(0.95, 2, loc=81, scale=stats.sem([80, 81, 82]))
    assert off == {"noise": "off", "mean": 81, "low": pytest.approx(low), "high": pytest.approx(high), "runs": 3}
    assert circular["mean"] == 82
    assert summarise(rows[:1], "accuracy", by=["noise"])[0]["low"] is None
    with pytest.raises(ArgumentError, match="share seed"):
        summarise(rows, "accuracy", by=["device"])
    with pytest.raises(ArgumentError, match="depth"):
        summarise(rows, "accuracy", by=["depth"])


def test_a_heat_map_has_a_cell_for_each_pair(tmp_path):
    rows = [{"place": p, "strength": s, "accuracy": s + len(p)} for p in ("first", "last") for s in (0.1, 0.3, 0.5)]
    axes = heat_map(rows[:-1], x="strength", y="place", value="accuracy")
    shown = np.asarray(axes.images[0].get_array())
    assert shown.shape == (2, 3)
    assert shown[0, 1] == 5.3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "last"]
    axes.figure.savefig(tmp_path / "map.png")
    with pytest.raises(ArgumentError, match="one row for each"):
        heat_map([*rows, rows[0]], x="strength", y="place", value="accuracy")
