"""Write an image file in the format that its suffix names, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from noisewise._files import write_atomically
from noisewise.data.formats import SUFFIXES, Format, format_of
from noisewise.data.image import ImageFile
from noisewise.errors import OutputError

__all__ = ["check_output", "write_image"]

_MEND = "check the folder's permissions and free space"


def write_image(image: ImageFile, path: str | Path, *, overwrite: bool = False) -> None:
    """Writes ``image`` in its own bit depth, with its alpha, ICC profile, EXIF and resolution.

    The suffix of ``path`` names the format. JPEG is written at quality 95 with full chroma, the others without loss.
    Missing folders are made.

    Raises:
        OutputError: as `check_output`; or the file cannot be written, in which case nothing is left behind.
    """
    path = Path(path)
    check_output(image, path, overwrite=overwrite)
    try:
        data = _format(path).encode(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data, overwrite=overwrite)
    except FileExistsError as reason:
        raise _exists(path) from reason
    except OSError as reason:
        why = reason.strerror or str(reason)
        raise OutputError(f"cannot write {path}: {why}; {_MEND}") from reason


def check_output(image: ImageFile, path: str | Path, *, overwrite: bool = False) -> None:
    """Fails, before any work is spent, where `write_image` is bound to fail.

    Only the bit depth, channels and metadata of ``image`` count, so the input of a restoration stands for its output.

    Raises:
        OutputError: the suffix names no known format, the format cannot hold the image (16 bit in JPEG or WebP,
            transparency in JPEG, floats in PNG), ``path`` exists and ``overwrite`` is False, or its folder cannot be
            made or written to. Names the mend.
    """
    path = Path(path)
    form = _format(path)
    try:
        form.check(image)
    except OutputError as reason:
        raise OutputError(f"cannot write {path}: {reason}") from reason
    if path.is_dir() or (not overwrite and path.exists()):
        raise _exists(path)
    _check_folder(path)


def _format(path: Path) -> Format:
    form = format_of(path)
    if form is None:
        raise OutputError(f"cannot write {path}: {path.suffix!r} names no format; choose {', '.join(SUFFIXES)}")
    return form


def _check_folder(path: Path) -> None:
    present = next(folder for folder in path.parents if os.path.lexists(folder))
    if not present.is_dir():
        why = "Not a directory, a file has its name or that of a folder above it"
        raise OutputError(f"cannot make the folder {path.parent}: {why}; choose another folder")
    if not os.access(present, os.W_OK):
        raise OutputError(f"cannot write {path}: no permission to write to {present}; {_MEND}")


def _exists(path: Path) -> OutputError:
    mend = "choose another name" if path.is_dir() else "choose another name, or pass --overwrite (overwrite=True)"
    return OutputError(f"cannot write {path}: it exists already; {mend}")
