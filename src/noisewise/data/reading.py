"""Read an image file, whatever its name says, or say in one line why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from noisewise.contracts import Shares
from noisewise.data.formats import FORMATS, Format
from noisewise.data.formats.limits import check_size
from noisewise.data.image import ImageFile
from noisewise.errors import UnreadableImageError

__all__ = ["first_few", "image_suffix", "read_all", "read_image", "require_pixels"]

_HEAD_BYTES = 16
_NAMED = 5


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


def read_all(paths: Sequence[Path], load: Callable[[Path], T], progress: Shares = lambda done, total: None) -> list[T]:
    """What ``load`` makes of every file.

    Raises:
        UnreadableImageError: some cannot be read; the message names them together, so that one look mends them all.
    """
    read, refused = [], dict[Path, UnreadableImageError]()
    for done, path in enumerate(paths, start=1):
        try:
            read.append(load(path))
        except UnreadableImageError as reason:
            refused[path] = reason
        progress(done, len(paths))
    if refused:
        raise _together(refused)
    return read


def first_few(paths: Sequence[Path]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(map(str, paths[:_NAMED])) + more


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


def _together(refused: dict[Path, UnreadableImageError]) -> UnreadableImageError:
    paths, reasons = list(refused), list(refused.values())
    if len(paths) == 1:
        return reasons[0]
    return UnreadableImageError(
        f"{len(paths)} files cannot be read: {first_few(paths)}; take them out, or mend them; of the first: "
        f"{reasons[0]}"
    )


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
