"""The commands, and what happens to their errors: one line, an exit code, no traceback."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from noisewise.cli import corrupt, denoise, pretrain, show
from noisewise.errors import NoisewiseError

__all__ = ["app", "main"]

_INTERRUPTED = 130

app = typer.Typer(
    help="Noise, put to work: clean noisy photographs, make noisy ones, train denoisers.",
    epilog="Example: noisewise denoise photos/ -o clean/ --report",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("denoise", epilog=denoise.EXAMPLE)(denoise.command)
app.command("corrupt", epilog=corrupt.EXAMPLE)(corrupt.command)
app.command("pretrain", epilog=pretrain.EXAMPLE)(pretrain.command)
app.command("demo", epilog=show.EXAMPLE)(show.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"noisewise {version('noisewise')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exit 2 on an error, 1 where some files of a batch failed, 130 on Ctrl-C."""
    try:
        app()
    except NoisewiseError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command resumes where this one stopped", err=True)
        sys.exit(_INTERRUPTED)
    except Exception as error:
        if os.environ.get("NOISEWISE_DEBUG"):
            raise
        _fail(f"{type(error).__name__}: {error} (a defect: set NOISEWISE_DEBUG=1 for the details and report it)")


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)
