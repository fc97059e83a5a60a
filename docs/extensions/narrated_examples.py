"""Sphinx: every script of ``examples/`` becomes a notebook of the site, run when the site is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jupytext
from sphinx.application import Sphinx

__all__ = ["convert", "setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda app, config: convert(Path(app.srcdir)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def convert(docs: Path) -> None:
    """Write ``examples/NAME.py`` as ``docs/examples/NAME.ipynb``; what has not changed is left alone, and not rerun."""
    target = docs / "examples"
    target.mkdir(exist_ok=True)
    for script in sorted((docs.parent / "examples").glob("*.py")):
        text = jupytext.writes(jupytext.read(script), fmt="ipynb").replace("](../docs/", "](../")
        notebook = target / f"{script.stem}.ipynb"
        if not notebook.exists() or notebook.read_text() != text:
            notebook.write_text(text)
