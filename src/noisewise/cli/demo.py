"""``noisewise demo``: see what it does, offline, in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noisewise.cli.options import Json, Overwrite

__all__ = ["EXAMPLE", "command"]

EXAMPLE = "Example: noisewise demo -o demo.html"


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("noisewise-demo.html"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Denoise a photograph that ships with noisewise; the page shows before, after and the figures."""
    import json

    from noisewise.demo.photograph import run_demo

    figures = run_demo(output, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    for name, figure in figures.items():
        typer.echo(
            f"{name}: {figure['before']:.2f} dB noisy, {figure['after']:.2f} dB denoised, {figure['seconds']:.1f} s"
        )
    typer.echo(f"open {output} in a browser")
