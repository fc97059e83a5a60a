"""The command line as a process of its own, and small noisy photographs for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

NETWORK = "test_resnet"

RECIPE = """
[model]
widths = [8, 8]
blocks = [1, 1]
estimator_width = 8

[schedule]
steps = 1500
batch = 1
patch = 16
learning_rate = 1e-3
warmup = 1
decay = 0.5
ema = 0.9

[noise]
pool = [[1.0, "gaussian:sigma=0..50"]]

[patches]
enlarged = 0.0
grey = 0.0
eight_bit = 0.0
"""


class Ran(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def start(*arguments: object, environment: Mapping[str, str] | None = None, **options: object) -> subprocess.Popen[str]:
    """The command line as a process of its own."""
    command = [sys.executable, "-m", "noisewise", *map(str, arguments)]
    settings = {"env": os.environ | (environment or {}), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **(settings | options))


def photo(path: Path, *, size: tuple[int, int] = (64, 48), seed: int = 0, mode: str = "RGB") -> Path:
    """A small noisy photograph at ``path``, in the format of its suffix."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    scene = 128 + 60 * np.sin(rows / 7 + seed) * np.cos(columns / 11)
    noisy = scene[..., None] + rng.normal(0, 15, (*scene.shape, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode).save(path)
    return path


def save_random_weights(path: Path, *, seed: int) -> None:
    """Weights of `NETWORK` for two classes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_file(timm.create_model(NETWORK, num_classes=2).state_dict(), path)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
