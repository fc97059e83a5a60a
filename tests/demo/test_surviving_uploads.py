"""Two hundred uploads of every kind, good and bad: no crash, flat memory, and nothing kept."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tifffile
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from serving import served

pytestmark = pytest.mark.slow

ROUNDS, WARM_UP = 25, 5
GROWTH = 1.1
SWEPT = 200
"""Seconds in which what is kept for a minute is surely gone."""


def uploads(folder, turn):
    """Eight files by name, with whether they can be cleaned; new ones every time, as visitors send them."""
    rng = np.random.default_rng(turn)
    pixels = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    frames = [Image.fromarray(np.roll(pixels, shift, axis=1)) for shift in range(3)]
    frames[0].save(folder / "fine.png")
    frames[0].save(folder / "fine.jpg")
    tifffile.imwrite(folder / "deep.tif", pixels.astype(np.uint16) * 257, photometric="rgb")
    Image.fromarray(rng.integers(0, 256, (500, 700, 3), dtype=np.uint8)).save(folder / "large.webp", quality=50)
    Image.new("L", (9000, 9000), turn).save(folder / "huge.png")
    (folder / "truncated.png").write_bytes((folder / "fine.png").read_bytes()[:9000])
    (folder / "text.jpg").write_text(f"no image, {turn}")
    frames[0].save(folder / "animated.webp", save_all=True, append_images=frames[1:])
    good = {"fine.png", "fine.jpg", "deep.tif", "large.webp"}
    return {path.name: path.name in good for path in folder.iterdir()}


def ask(client, path):
    """Where the clean file was downloaded to."""
    *_, download = client.predict(handle_file(path), 1.0, "fast", "network", None, api_name="/denoise")
    return download


def check(client, path, *, is_good):
    """The file comes back clean, or an error tells what is wrong with it."""
    if is_good:
        assert ask(client, path).endswith(f"{path.stem}.clean{path.suffix}")
    else:
        with pytest.raises(AppError, match="Cannot read"):
            ask(client, path)


def test_two_hundred_mixed_uploads(tmp_path):
    (tmp_path / "server").mkdir()
    memory = []
    with served(tmp_path / "server", "--max-pixels", 50, "--keep-minutes", 1) as server:
        client = server.client(tmp_path / "downloads")
        for turn in range(ROUNDS):
            folder = tmp_path / f"turn{turn}"
            folder.mkdir()
            for name, is_good in uploads(folder, turn).items():
                check(client, folder / name, is_good=is_good)
            memory.append(server.memory())
            print(turn, round(memory[-1] / 2**20), "MB", flush=True)  # what a failure shows
        assert server.process.poll() is None
        warm, last = np.median(memory[WARM_UP : 2 * WARM_UP]), np.median(memory[-WARM_UP:])
        assert last < GROWTH * warm
        assert _emptied(server.temporary)


def _emptied(folder):
    deadline = time.monotonic() + SWEPT
    while time.monotonic() < deadline:
        if not any(path.is_file() for path in folder.rglob("noisewise-serve-*/**/*")):
            return True
        time.sleep(5)
    return False
