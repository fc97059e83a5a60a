"""Write an image file in the format that its suffix names, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from noisewise.data.atomic import write_atomically
from noisewise.data.formats import SUFFIXES, Format, format_of
from noisewise.data.image import ImageFile
from noisewise.errors import OutputError

__all__ = ["check_output", "write_image"]


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
        _make_folder(path.parent)
        write_atomically(path, data, overwrite=overwrite)
    except FileExistsError as reason:
        raise _exists(path) from reason
    except OSError as reason:
        why = reason.strerror or str(reason)
        mend = "check the folder's permissions and free space"
        raise OutputError(f"cannot write {path}: {why}; {mend}") from reason


def check_output(image: ImageFile, path: str | Path, *, overwrite: bool = False) -> None:
    """Fails, before any work is spent, where `write_image` is bound to fail.

    Only the bit depth, channels and metadata of ``image`` count, so the input of a restoration stands for its output.

    Raises:
        OutputError: the suffix names no known format, the format cannot hold the image (16 bit in JPEG or WebP,
            transparency in JPEG, floats in PNG), or ``path`` exists and ``overwrite`` is False. Names the mend.
    """
    path = Path(path)
    form = _format(path)
    try:
        form.check(image)
    except OutputError as reason:
        raise OutputError(f"cannot write {path}: {reason}") from reason
    if path.is_dir() or (not overwrite and path.exists()):
        raise _exists(path)


def _format(path: Path) -> Format:
    form = format_of(path)
    if form is None:
        raise OutputError(f"cannot write {path}: {path.suffix!r} names no format; choose {', '.join(SUFFIXES)}")
    return form


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as reason:
        raise OutputError(f"cannot make the folder {folder}: a file has its name; choose another folder") from reason


def _exists(path: Path) -> OutputError:
    mend = "choose another name" if path.is_dir() else "choose another name, or allow overwriting"
    return OutputError(f"cannot write {path}: it exists already; {mend}")
