"""``noisewise demo``: see what it does, offline, in a minute."""

from __future__ import annotations

from contextlib import nullcontext
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
    """Denoise a photograph and harden a classifier that ship with noisewise; a page shows before and after."""
    import json

    from noisewise.cli.batch import console
    from noisewise.demo.page import run_demo

    said = "denoising a photograph, training and hardening a classifier"
    with console.status(said) if console.is_terminal else nullcontext():
        figures = run_demo(output, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    for name, figure in figures["photograph"].items():
        typer.echo(
            f"{name}: {figure['before']:.2f} dB noisy, {figure['after']:.2f} dB denoised, {figure['seconds']:.1f} s"
        )
    for name, figure in figures["classifier"].items():
        typer.echo(f"{name}: {figure['before']:.1f} % right before, {figure['after']:.1f} % after hardening")
    typer.echo(f"open {output} in a browser")
