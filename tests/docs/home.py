"""The folder of someone who reads the pages: files with the names that the pages use, all of them small."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path
from shutil import copytree

import numpy as np
from PIL import Image

__all__ = ["PAGES_OF_THE_SITE", "ROOT", "furnish"]

ROOT = Path(__file__).parent.parent.parent
PAGES_OF_THE_SITE = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_generated" not in page.parts]
"""Those that somebody wrote; an earlier build may have left others."""
SIDE = 128
"""Of a photograph; the largest patch of a recipe fits into it."""


def furnish(home: Path) -> None:
    """Photographs, labelled sets and recipes, as the README and the pages name them."""
    pieces = _pieces()
    next(pieces).crop((0, 0, 32, 24)).save(home / "photo.png")  # small, for some learn from it
    next(pieces).save(home / "photo.jpg")
    for folder in ("photos", "photographs", "micrographs"):
        _save(pieces, [home / folder / f"{number}.png" for number in range(2)])
    for folder in ("photos/val", "photos/train", "amazon", "webcam"):
        _save(pieces, [home / folder / name / f"{number}.png" for name in ("boat", "house") for number in range(6)])
    _camvid(home / "camvid", pieces)
    _coco(home / "coco", pieces)
    copytree(ROOT / "recipes", home / "recipes")


def _pieces() -> Iterable[Image.Image]:
    """Squares of the photograph that ships with the package, from place to place."""
    with as_file(files("noisewise.demo") / "assets" / "lighthouse.png") as path:
        whole = Image.open(path).convert("RGB")
    rng = np.random.default_rng(0)
    while True:
        left, top = rng.integers(0, (whole.width - SIDE, whole.height - SIDE)).tolist()
        yield whole.crop((left, top, left + SIDE, top + SIDE))


def _save(pieces: Iterable[Image.Image], paths: Iterable[Path]) -> None:
    for path, piece in zip(paths, pieces, strict=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        piece.save(path)


def _camvid(root: Path, pieces: Iterable[Image.Image]) -> None:
    names = ("0.png", "1.png")
    _save(pieces, [root / "test" / name for name in names])
    (root / "testannot").mkdir()
    for seed, name in enumerate(names):
        classes = np.random.default_rng(seed).integers(0, 12, (SIDE // 8, SIDE // 8), dtype=np.uint8)
        Image.fromarray(classes.repeat(8, 0).repeat(8, 1)).save(root / "testannot" / name)


def _coco(root: Path, pieces: Iterable[Image.Image]) -> None:
    _save(pieces, [root / split / name for split in ("val2017", "train2017") for name in ("a.jpg", "b.jpg")])
    thing = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 40, 60], "area": 2400, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [thing],
        "categories": [{"id": 1, "name": "lighthouse"}],
    }
    (root / "annotations").mkdir()
    for split in ("val2017", "train2017"):
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))
