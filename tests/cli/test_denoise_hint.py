"""What ``noisewise denoise`` says of the noise that it removed, and of what the network missed."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter


def test_grey_noise_that_was_taken_for_texture_is_told(run, tmp_path):
    with as_file(files("noisewise.demo") / "assets" / "lighthouse.png") as path:
        grey = np.asarray(Image.open(path).convert("L"))[100:300, 100:300] / 255
    noise = gaussian_filter(np.random.default_rng(0).normal(size=grey.shape), 0.8)
    noisy = (grey + 0.1 * noise / noise.std()).clip(0, 1)
    for name, image in {"clean": grey, "noisy": noisy}.items():
        Image.fromarray((255 * image).astype(np.uint8)).save(tmp_path / f"{name}.png")
    auto, told = ("-o", tmp_path / "out"), ("-o", tmp_path / "told", "--sigma", 5)
    assert "try --sigma" not in run("denoise", tmp_path / "clean.png", *auto).err
    assert "try --sigma 2" in run("denoise", tmp_path / "noisy.png", *auto).err
    assert "try --sigma" not in run("denoise", tmp_path / "noisy.png", *told).err


def test_a_part_of_the_noise_is_told_as_such(run, photos, tmp_path):
    half, whole = (
        run("denoise", photos / "a.png", "-o", tmp_path / f"{share}.png", "--sigma", 15, "--strength", share).err
        for share in (0.5, 1)
    )
    assert "removed 50 % of noise of sigma 15.0 of 255" in half
    assert "removed noise of sigma 15.0 of 255" in whole
