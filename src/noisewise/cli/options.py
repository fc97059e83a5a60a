"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Inputs", "Json", "Output", "Overwrite", "Seed"]

Inputs = Annotated[list[Path], typer.Argument(metavar="IN", help="Image files and folders.", show_default=False)]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", help="A file for a single input, otherwise a folder.", show_default=False),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist already.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]
