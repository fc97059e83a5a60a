"""The commands, and what happens to their errors: one line, an exit code, no traceback."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from noisewise._memory import lacks_memory
from noisewise.cli import adapt, audit, corrupt, demo, denoise, evaluate, harden, pretrain, serve, study, sweep
from noisewise.cli.training import require_one_process
from noisewise.errors import NoisewiseError

__all__ = ["app", "main"]

_FAILED, _INTERRUPTED = 2, 130
_RESUMING = {"adapt", "corrupt", "denoise", "pretrain", "sweep"}

app = typer.Typer(
    help="Noise, put to work: clean noisy photographs, harden and audit trained networks, train denoisers.",
    epilog="Example: noisewise denoise photos/ -o clean/ --report",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("denoise", epilog=denoise.EXAMPLE)(denoise.command)
app.command("corrupt", epilog=corrupt.EXAMPLE)(corrupt.command)
app.command("pretrain", epilog=pretrain.EXAMPLE)(pretrain.command)
app.command("harden", epilog=harden.EXAMPLE)(harden.command)
app.command("audit", epilog=audit.EXAMPLE)(audit.command)
app.command("sweep", epilog=sweep.EXAMPLE)(sweep.command)
app.command("adapt", epilog=adapt.EXAMPLE)(adapt.command)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(study.app, name="study")
app.command("demo", epilog=demo.EXAMPLE)(demo.command)
app.command("serve", epilog=serve.EXAMPLE)(serve.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"noisewise {version('noisewise')}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand not in (None, "pretrain"):
        require_one_process(context.invoked_subcommand)


def main() -> None:
    """Run the command line and exit.

    The code is 0, or 2 on an error, 1 where some files of a batch failed or nobody reads the output any more, 3 where
    an audit finds a dependence, 130 on Ctrl-C.
    """
    warnings.showwarning = _note
    sys.path.append(str(Path.cwd()))  # for networks named as package.module:factory
    try:
        code = app(standalone_mode=False) or 0
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except Exception as error:  # the last resort: a defect, too, is told in one line
        if os.environ.get("NOISEWISE_DEBUG"):
            raise
        code = _fail(error)
    if code == _INTERRUPTED:
        resumes = "; the same command resumes where this one stopped" if _RESUMING & set(sys.argv[1:2]) else ""
        typer.echo(f"interrupted{resumes}", err=True)
    sys.exit(code)


def _note(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"note: {message}", err=True)


def _fail(error: Exception) -> int:
    typer.echo(f"error: {' '.join(_explained(error).splitlines())}", err=True)
    return _FAILED


def _explained(error: Exception) -> str:
    if isinstance(error, NoisewiseError):
        return str(error)
    # typer's usage errors, told by what they do: their class is not public in every version
    usage = getattr(error, "format_message", None)
    if usage is not None:
        command = getattr(getattr(error, "ctx", None), "command_path", "noisewise")
        return f"{usage().rstrip('.')} (see {command} --help)"
    if lacks_memory(error):
        return "this takes more memory than there is; give smaller images, or fewer at once"
    return f"{type(error).__name__}: {error} (a defect: set NOISEWISE_DEBUG=1 for the details and report it)"
