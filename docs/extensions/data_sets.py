"""Sphinx: the data sets that noisewise reads and how their files lie, from the registries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from noisewise.data.classification import CLASSIFICATION_DATASETS
from noisewise.data.detection import DETECTION_DATASETS
from noisewise.data.reidentification import REIDENTIFICATION_DATASETS
from noisewise.data.segmentation import SEGMENTATION_DATASETS

__all__ = ["setup", "write_layouts"]

_KINDS: dict[str, Mapping[str, Any]] = {
    "Classification": CLASSIFICATION_DATASETS,
    "Re-identification": REIDENTIFICATION_DATASETS,
    "Detection": DETECTION_DATASETS,
    "Segmentation": SEGMENTATION_DATASETS,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda app, config: write_layouts(Path(app.srcdir) / "_generated" / "data-sets.md"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_layouts(page: Path) -> None:
    """Write a table for each task."""
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join(line for title, readers in _KINDS.items() for line in _section(title, readers)))


def _section(title: str, readers: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {title}", "", "| name | splits | files below the folder |", "|---|---|---|")
    for name, reader in readers.items():
        splits = ", ".join(f"`{split}`" for split in getattr(reader, "splits", ()))
        layout = reader.layout.replace("*", r"\*")  # two of them would be emphasis
        yield f"| `{name}` | {splits or '-'} | {layout} |"
    yield ""
