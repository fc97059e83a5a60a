"""Plots that commands write."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

__all__ = ["check_plot", "save_plot"]

_SUFFIXES = (".png", ".svg", ".pdf")


def check_plot(path: Path, *, overwrite: bool) -> None:
    """Find out before any work whether a plot can be drawn and written.

    Raises:
        ArgumentError: another suffix, or matplotlib is not installed.
        OutputError: the file exists already, or its folder does not.
    """
    from importlib.util import find_spec

    from noisewise._files import check_target
    from noisewise.errors import ArgumentError

    if path.suffix not in _SUFFIXES:
        raise ArgumentError(f"expected a plot that ends in {', '.join(_SUFFIXES)}, got {path}")
    if find_spec("matplotlib") is None:
        raise ArgumentError("a plot needs matplotlib; install it with: pip install noisewise[plot]")
    check_target(path, overwrite=overwrite)


def save_plot(axes: Any, path: Path, *, overwrite: bool) -> None:
    """Write the figure of matplotlib ``axes``.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    from noisewise._files import write_atomically
    from noisewise.errors import OutputError

    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format=path.suffix[1:])
    try:
        write_atomically(path, buffer.getvalue(), overwrite=overwrite)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; check the folder's permissions and space") from error
