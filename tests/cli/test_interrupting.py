"""Ctrl-C in the middle of a batch or a training: nothing half written, and the next run goes on."""

from __future__ import annotations

import signal
import time

import pytest
from command_line import RECIPE, contents, photo, start
from PIL import Image

COUNT = 60


def hear_ctrl_c():
    """In the child: a background job of a shell ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt_once(condition, process):
    """Send Ctrl-C as soon as ``condition`` holds, and return what the process had to say."""
    deadline = time.monotonic() + 600  # a busy machine is slow
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=600)[1]


def test_an_interrupted_batch_resumes(tmp_path, weights, run):
    photos, clean = tmp_path / "photos", tmp_path / "clean"
    for index in range(COUNT):
        photo(photos / f"{index:02}.png", seed=index)
    before = contents(photos)
    arguments = ("denoise", photos, "-o", clean, "--weights", weights)
    process = start(*arguments, preexec_fn=hear_ctrl_c)
    said = interrupt_once(lambda: len(list(clean.glob("*.png"))) >= 3, process)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted; the same command resumes where this one stopped"
    assert "Traceback" not in said
    done = contents(clean)
    assert 3 <= len(done) - 1 < COUNT
    for name in done.keys() - {".noisewise-journal.jsonl"}:
        assert name.endswith(".png")
        Image.open(clean / name).load()
    ran = run(*arguments)
    assert ran.code == 0
    assert f"{COUNT + 1 - len(done)} done, {len(done) - 1} done before" in ran.err
    assert contents(photos) == before


@pytest.mark.slow
def test_an_interrupted_training_resumes(tmp_path, run):
    photo(tmp_path / "photos" / "a.png")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    output = tmp_path / "mine.safetensors"
    arguments = ("pretrain", "--images", tmp_path / "photos", "--recipe", tmp_path / "tiny.toml", "-o", output)
    process = start(*arguments, preexec_fn=hear_ctrl_c)
    said = interrupt_once(output.with_name(f"{output.name}.checkpoint").exists, process)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not output.exists()
    ran = run(*arguments, "--steps", 500)
    assert ran.code == 0
    assert "step 100 of" not in ran.err
    assert "step 500 of 500" in ran.err
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "tiny.toml", "mine.safetensors"}
    clean = tmp_path / "clean.png"
    assert run("denoise", tmp_path / "photos" / "a.png", "-o", clean, "--weights", output).code == 0
    assert Image.open(clean).size == (64, 48)
