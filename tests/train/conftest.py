"""A tiny recipe and a few synthetic photographs to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisewise.data.patches import PatchSampler
from noisewise.train import NoisyPatches, Recipe, read_recipe

TINY = """
[model]
widths = [8, 8]
blocks = [1, 1]
estimator_width = 8

[schedule]
steps = 6
batch = 4
patch = 16
learning_rate = 2e-3
warmup = 2
decay = 0.5
ema = 0.9

[noise]
pool = [[1.0, "gaussian:sigma=10..50"], [1.0, "poisson:gain=4+rows:sigma=5"]]

[patches]
enlarged = 0.0
grey = 0.25
eight_bit = 0.5
"""


def write_photograph(path: Path, height: int, width: int, seed: int) -> Path:
    """Smooth random colours as a PNG."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    return [write_photograph(tmp_path / f"{seed}.png", 100 + seed, 110, seed) for seed in range(3)]


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def recipe(recipe_file: Path) -> Recipe:
    return read_recipe(recipe_file)


@pytest.fixture
def data(photographs: list[Path], recipe: Recipe) -> NoisyPatches:
    return NoisyPatches(PatchSampler(photographs, recipe.schedule.patch), recipe, seed=5)
