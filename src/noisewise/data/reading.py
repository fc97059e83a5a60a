"""Read an image file, whatever its name says, or say in one line why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from noisewise.data.formats import FORMATS, Format
from noisewise.data.formats.limits import check_size
from noisewise.data.image import ImageFile
from noisewise.errors import UnreadableImageError

__all__ = ["image_suffix", "read_image", "require_pixels"]

_HEAD_BYTES = 16

T = TypeVar("T")


def read_image(path: str | Path) -> ImageFile:
    """The image in a PNG, JPEG, TIFF or WebP file.

    The format is told by the content, not by the suffix.

    Raises:
        UnreadableImageError: missing, empty, truncated or damaged, of another format, animated or with several pages,
            CMYK, over 400 megapixels, or with NaN or infinite pixels. The message names the file and the mend.
    """
    with _told_of(Path(path)) as path:
        form, data = _load(path)
        return _tried(form.decode, data)


def require_pixels(path: str | Path, most: int) -> None:
    """Refuses an image file that claims more than ``most`` pixels, without decoding it.

    Raises:
        UnreadableImageError: it does, or no image can be recognised in it.
    """
    with _told_of(Path(path)) as path:
        form, data = _load(path)
        check_size(*_tried(form.size, data), most)


def image_suffix(path: str | Path) -> str:
    """The file name suffix that fits the content of an image file: its own if it does, else the usual one.

    Raises:
        UnreadableImageError: as for `read_image`, of another format or missing.
    """
    with _told_of(Path(path)) as path:
        form, _ = _load(path)
        return path.suffix if path.suffix.lower() in form.suffixes else form.suffixes[0]


@contextmanager
def _told_of(path: Path) -> Iterator[Path]:
    """Within it, errors name the file."""
    try:
        yield path
    except UnreadableImageError as reason:
        raise UnreadableImageError(f"cannot read {path}: {reason}") from reason
    except OSError as reason:
        mend = "check its name and permissions"
        raise UnreadableImageError(f"cannot read {path}: {reason.strerror}; {mend}") from reason


def _load(path: Path) -> tuple[Format, bytes]:
    if path.exists() and not path.is_file():
        raise UnreadableImageError("it is a folder or device, not a file; name an image file")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        form = _recognised(head)
        return form, head + file.read()


def _recognised(head: bytes) -> Format:
    if not head:
        raise UnreadableImageError("it is empty; copy or export it again")
    for form in FORMATS.values():
        if form.recognises(head):
            return form
    known = "PNG, JPEG, TIFF or WebP"
    raise UnreadableImageError(f"its content is not {known}; convert it to one of them")


def _tried(parse: Callable[[bytes], T], data: bytes) -> T:
    try:
        return parse(data)
    except UnreadableImageError:
        raise
    except Exception as reason:  # in damaged data the decoding libraries trip over anything
        why = " ".join(f"{type(reason).__name__}: {reason}".split())
        raise UnreadableImageError(f"it is damaged ({why}); copy or export it again") from reason
