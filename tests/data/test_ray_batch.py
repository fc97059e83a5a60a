"""Files on a cluster of two workers: each done once, also where a worker is killed half-way; what fails is told."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from noisewise.data import Journal
from noisewise.data.folders import Source
from noisewise.data.ray_batch import run_batch_on_ray
from noisewise.errors import ArgumentError, OutputError, UnreadableImageError


@pytest.fixture
def files(tmp_path):
    """Twelve inputs, where they go, and the folder of both."""
    paths = [tmp_path / f"{index:02}.txt" for index in range(12)]
    for index, path in enumerate(paths):
        path.write_text(str(index))
    return [Source(path, Path(path.name)) for path in paths], [tmp_path / "out" / path.name for path in paths], tmp_path


def squared(index: int, source: Source, target: Path) -> dict[str, object]:
    """Writes the square; notes who began and who finished it."""
    log = target.parent.parent / "log"
    log.mkdir(exist_ok=True)
    (log / f"{index}-begun-{os.getpid()}").touch()
    time.sleep(0.3)
    if source.path.read_text() == "broken":
        raise UnreadableImageError(f"cannot read {source.path}")
    target.parent.mkdir(exist_ok=True)
    target.write_text(str(int(source.path.read_text()) ** 2))
    (log / f"{index}-ended").touch()
    return {"pid": os.getpid()}


def nothing(_: Path) -> None:
    """No target is refused."""


def kill_one_that_works(log: Path) -> int:
    """Kill a process in the middle of a file; its number."""
    for _ in range(1000):
        begun = [path.name.split("-begun-") for path in log.glob("*-begun-*")]
        if working := [int(pid) for index, pid in begun if not (log / f"{index}-ended").exists()]:
            os.kill(working[0], signal.SIGKILL)
            return working[0]
        time.sleep(0.01)
    raise TimeoutError("no worker began another file")


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_worker_killed_half_way_loses_no_file(files):
    sources, targets, folder = files
    outcomes, victim = [], None
    for outcome in run_batch_on_ray(sources, targets, squared, journal=None, check=nothing):
        outcomes.append(outcome)
        if len(outcomes) == 4:
            victim = kill_one_that_works(folder / "log")
    assert victim is not None
    assert sorted(outcome.source for outcome in outcomes) == [source.path for source in sources]
    assert all(outcome.status == "done" for outcome in outcomes)
    assert [int(target.read_text()) for target in targets] == [index**2 for index in range(12)]
    assert len(list((folder / "log").glob("*-begun-*"))) == 13  # the killed one was begun again
    assert len({outcome.details["pid"] for outcome in outcomes}) > 1


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_what_fails_is_told_what_is_done_is_kept_and_a_second_run_does_the_rest(files, monkeypatch):
    sources, targets, folder = files
    monkeypatch.chdir(folder)  # workers are in another one
    sources = [Source(Path(source.path.name), source.relative) for source in sources]
    targets = [target.relative_to(folder) for target in targets]
    sources[3].path.write_text("broken")
    targets[5].parent.mkdir()
    targets[5].write_text("mine")

    def refuse(target: Path) -> None:
        if target.exists():
            raise OutputError(f"cannot write {target}: it exists already")

    def run() -> dict[str, object]:
        journal = Journal(folder / "out", {"version": 1})
        found = run_batch_on_ray(sources, targets, squared, journal=journal, check=refuse)
        return {outcome.source.name: outcome for outcome in found}

    first = run()
    assert {name for name, one in first.items() if one.status == "failed"} == {"03.txt", "05.txt"}
    assert "cannot read" in first["03.txt"].error
    assert "exists already" in first["05.txt"].error
    assert targets[5].read_text() == "mine"
    sources[3].path.write_text("3")
    second = run()
    assert [name for name, one in second.items() if one.status == "done"] == ["03.txt"]
    assert sum(one.status == "resumed" for one in second.values()) == 10


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_file_that_kills_every_worker_is_given_up(files):
    sources, targets, _ = files

    def deadly(index: int, source: Source, target: Path) -> dict[str, object]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    outcomes = list(run_batch_on_ray(sources[:1], targets[:1], deadly, journal=None, check=nothing))
    assert [outcome.status for outcome in outcomes] == ["failed"]
    assert "ended every worker" in outcomes[0].error


def test_an_address_where_nobody_listens_is_told_at_once(files):
    if pytest.importorskip("ray").is_initialized():
        pytest.skip("a cluster is there already")
    sources, targets, _ = files
    with pytest.raises(ArgumentError, match=r"no cluster at 127\.0\.0\.1:1"):
        list(run_batch_on_ray(sources, targets, squared, journal=None, check=nothing, address="127.0.0.1:1"))
