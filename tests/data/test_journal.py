"""A batch resumes where it stopped, and repeats what has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from noisewise.data import Journal, Source
from noisewise.errors import ArgumentError, OutputError

SETTINGS = {"sigma": 25, "model": "small"}


@pytest.fixture
def batch(tmp_path) -> tuple[Source, Path]:
    (tmp_path / "out" / "sub").mkdir(parents=True)
    source = Source(tmp_path / "a.png", Path("sub/a.png"))
    source.path.write_bytes(b"input")
    output = tmp_path / "out" / "sub" / "a.png"
    output.write_bytes(b"output")
    return source, output


def journal(output: Path, settings=SETTINGS) -> Journal:
    return Journal(output.parents[1], settings)


def test_a_recorded_file_is_done_in_a_later_run(batch):
    source, output = batch
    assert not journal(output).done(source, output)
    journal(output).record(source, output)
    assert journal(output).done(source, output)
    assert journal(output, dict(reversed(SETTINGS.items()))).done(source, output)


def test_a_file_is_done_in_the_run_that_recorded_it(batch):
    source, output = batch
    log = journal(output)
    log.record(source, output)
    assert log.done(source, output)


def test_a_file_that_was_replaced_in_place_is_not_processed_twice(tmp_path):
    source = Source(tmp_path / "a.png", Path("a.png"))
    source.path.write_bytes(b"result")
    Journal(tmp_path, SETTINGS).record(source, source.path)
    assert Journal(tmp_path, SETTINGS).done(source, source.path)


def grow_input(source: Source, output: Path) -> None:
    source.path.write_bytes(b"another input")


def touch_input(source: Source, output: Path) -> None:
    os.utime(source.path, ns=(1, 1))


def change_output(source: Source, output: Path) -> None:
    output.write_bytes(b"edited by hand")


def remove_output(source: Source, output: Path) -> None:
    output.unlink()


@pytest.mark.parametrize("change", [grow_input, touch_input, change_output, remove_output])
def test_what_has_changed_is_not_done(change, batch):
    source, output = batch
    journal(output).record(source, output)
    change(source, output)
    assert not journal(output).done(source, output)


def test_other_settings_or_another_input_are_not_done(batch):
    source, output = batch
    journal(output).record(source, output)
    assert not journal(output, {**SETTINGS, "sigma": 26}).done(source, output)
    assert not journal(output).done(Source(source.path, Path("b.png")), output)


def test_the_latest_line_of_an_output_counts(batch):
    source, output = batch
    journal(output).record(source, output)
    journal(output, {"sigma": 5}).record(source, output)
    assert journal(output, {"sigma": 5}).done(source, output)
    assert not journal(output).done(source, output)


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_torn_last_line_is_ignored_and_not_continued(kept, batch):
    source, output = batch
    other = output.with_name("b.png")
    other.write_bytes(b"other")
    journal(output).record(source, output)
    file = output.parents[1] / ".noisewise-journal.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:kept])
    journal(output).record(source, other)
    assert journal(output).done(source, output)
    assert journal(output).done(source, other)


def test_lines_of_another_kind_are_ignored(batch):
    source, output = batch
    (output.parents[1] / ".noisewise-journal.jsonl").write_bytes(b'[]\n{"x": 1}\n\xff\xfe\n{"output": []}\n')
    assert not journal(output).done(source, output)


def test_a_journal_survives_a_move_of_its_folder(batch, tmp_path):
    source, output = batch
    journal(output).record(source, output)
    (tmp_path / "out").rename(tmp_path / "moved")
    moved = tmp_path / "moved" / "sub" / "a.png"
    assert journal(moved).done(source, moved)


def test_settings_must_be_json(tmp_path):
    with pytest.raises(ArgumentError, match="JSON"):
        Journal(tmp_path, {"model": object()})


def test_what_is_written_in_the_block_is_recorded(batch):
    source, output = batch
    with journal(output).recording(source, output):
        output.write_bytes(b"better")
    assert journal(output).done(source, output)


def interrupted(output: Path, *, written: bool) -> None:
    if written:
        output.write_bytes(b"better")
    raise KeyboardInterrupt


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("existed", [True, False])
def test_ctrl_c_loses_nothing_that_was_written(batch, existed, written):
    source, output = batch
    if not existed:
        output.unlink()
    with pytest.raises(KeyboardInterrupt), journal(output).recording(source, output):
        interrupted(output, written=written)
    assert journal(output).done(source, output) == written


def test_what_failed_is_not_recorded(batch):
    source, output = batch
    with pytest.raises(OutputError), journal(output).recording(source, output):
        raise OutputError("the disk is full")
    assert not journal(output).done(source, output)


def test_a_journal_that_cannot_be_written_or_read(batch):
    source, output = batch
    log = journal(output)
    (output.parents[1] / ".noisewise-journal.jsonl").mkdir()
    with pytest.raises(OutputError):
        log.record(source, output)
    with pytest.raises(OutputError):
        journal(output)
