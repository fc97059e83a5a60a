"""What ``noisewise denoise`` says of the noise that it removed, and of what the network may have missed."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter


@pytest.fixture
def grey(tmp_path):
    """A clean photograph, and the same with smooth noise of sigma 25."""
    with as_file(files("noisewise.demo") / "assets" / "lighthouse.png") as path:
        clean = np.asarray(Image.open(path).convert("L"))[100:300, 100:300] / 255
    noise = gaussian_filter(np.random.default_rng(0).normal(size=clean.shape), 0.8)
    noisy = (clean + 25 / 255 * noise / noise.std()).clip(0, 1)
    (tmp_path / "grey").mkdir()
    for name, image in {"clean": clean, "noisy": noisy}.items():
        Image.fromarray((255 * image).astype(np.uint8)).save(tmp_path / "grey" / f"{name}.png")
    return tmp_path / "grey"


def test_noise_that_may_have_been_taken_for_texture_is_told(run, grey, tmp_path):
    assert "try --sigma" not in run("denoise", grey / "clean.png", "-o", tmp_path / "1.png").err
    assert "try --sigma diagnosed" in run("denoise", grey / "noisy.png", "-o", tmp_path / "2.png").err
    assert "try --sigma" not in run("denoise", grey / "noisy.png", "-o", tmp_path / "3.png", "--sigma", 5).err


def test_the_diagnosed_level_is_that_of_each_file(run, grey, tmp_path):
    ran = run("denoise", grey, "-o", tmp_path / "out", "--sigma", "diagnosed", "--json")
    found = {Path(line["output"]).stem: line for line in json.loads(ran.out)}
    for line in found.values():
        assert line["sigma"] == pytest.approx(line["diagnosis"]["noise_level"], abs=0.01)
    assert found["clean"]["sigma"] < 10
    assert found["noisy"]["sigma"] == pytest.approx(25, rel=0.25)


def test_a_part_of_the_noise_is_told_as_such(run, photos, tmp_path):
    half, whole = (
        run("denoise", photos / "a.png", "-o", tmp_path / f"{share}.png", "--sigma", 15, "--strength", share).err
        for share in (0.5, 1)
    )
    assert "removed 50 % of noise of sigma 15.0 of 255" in half
    assert "removed noise of sigma 15.0 of 255" in whole
