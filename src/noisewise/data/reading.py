"""Read an image file, whatever its name says, or say in one line why not."""

from __future__ import annotations

from pathlib import Path

from noisewise.data.formats import FORMATS, Format
from noisewise.data.image import ImageFile
from noisewise.errors import UnreadableImageError

__all__ = ["read_image"]

_HEAD_BYTES = 16


def read_image(path: str | Path) -> ImageFile:
    """The image in a PNG, JPEG, TIFF or WebP file.

    The format is told by the content, not by the suffix.

    Raises:
        UnreadableImageError: missing, empty, truncated or damaged, of another format, animated or with several pages,
            CMYK, over 400 megapixels, or with NaN or infinite pixels. The message names the file and the mend.
    """
    path = Path(path)
    try:
        form, data = _load(path)
        return _decoded(form, data)
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


def _decoded(form: Format, data: bytes) -> ImageFile:
    try:
        return form.decode(data)
    except UnreadableImageError:
        raise
    except Exception as reason:  # in damaged data the decoding libraries trip over anything
        why = " ".join(f"{type(reason).__name__}: {reason}".split())
        raise UnreadableImageError(f"it is damaged ({why}); copy or export it again") from reason
