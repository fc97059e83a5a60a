"""Sphinx: the help of every command as one page of Markdown, by typer itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

__all__ = ["setup", "write_help"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda app, config: write_help(Path(app.srcdir) / "_generated" / "commands.md"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_help(page: Path) -> None:
    """Write the help of ``noisewise`` and of all its commands."""
    page.parent.mkdir(exist_ok=True)
    typer = [sys.executable, "-m", "typer", "noisewise.cli.app", "utils", "docs"]
    subprocess.run([*typer, "--name", "noisewise", "--title", "Every command", "--output", str(page)], check=True)
