"""Individuals of one colour each, as image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisewise.data import ImageFile, write_image
from noisewise.data.reidentification import ReidentificationImage

PEOPLE = 4
VIEWS = 3


@pytest.fixture
def individuals(tmp_path: Path) -> tuple[ReidentificationImage, ...]:
    """Three views of each of four individuals: their own colour with texture of its own in every view."""
    rng = np.random.default_rng(0)
    images = []
    for person in range(PEOPLE):
        colour = rng.uniform(60, 190, 3)
        for view in range(VIEWS):
            path = tmp_path / f"{person}_{view}.png"
            pixels = colour + rng.uniform(-5, 5, (8, 6, 3))
            write_image(ImageFile(pixels.astype(np.uint8)), path)
            images.append(ReidentificationImage(path, str(person), str(view)))
    return tuple(images)
