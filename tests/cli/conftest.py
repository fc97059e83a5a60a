"""Run the command line, inside this process or as one of its own, on small noisy photographs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from noisewise.cli import main
from noisewise.models import BlindDenoiser, save_denoiser

ARCHITECTURE = {"widths": [8, 8], "blocks": [1, 1], "estimator_width": 8}


class Ran(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch, capfd) -> Run:
    """``run("denoise", path, "-o", path)``: the command line itself, in this process."""

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["noisewise", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        return Ran(leaving.value.code, *capfd.readouterr())

    return call


def start(*arguments: object, environment: Mapping[str, str] | None = None, **options: object) -> subprocess.Popen[str]:
    """The command line as a process of its own."""
    command = [sys.executable, "-m", "noisewise", *map(str, arguments)]
    settings = {"env": os.environ | (environment or {}), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **(settings | options))


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A file of weights of a network that is small, quick and of no use."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BlindDenoiser(**ARCHITECTURE)
        torch.nn.init.normal_(model.unet.tail.weight, std=0.01)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_denoiser(model, path, architecture=ARCHITECTURE, notes={})
    return path


def photo(path: Path, *, size: tuple[int, int] = (64, 48), seed: int = 0, mode: str = "RGB") -> Path:
    """A small noisy photograph at ``path``, in the format of its suffix."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    scene = 128 + 60 * np.sin(rows / 7 + seed) * np.cos(columns / 11)
    noisy = scene[..., None] + rng.normal(0, 15, (*scene.shape, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode).save(path)
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three photographs, one of them in a sub-folder."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(["a.png", "b.jpg", "trip/c.png"]):
        photo(folder / name, seed=seed)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
