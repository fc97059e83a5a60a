"""The image formats: how each recognises, decodes, limits and encodes its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from noisewise.data.formats import jpeg, png, tiff, webp
from noisewise.data.image import FormatName, ImageFile

__all__ = ["FORMATS", "SUFFIXES", "Format", "format_of", "has_image_suffix"]


class Format(NamedTuple):
    """One image format.

    Attributes:
        suffixes: its file name suffixes in lower case.
        recognises: whether a file that starts with these 16 bytes is of this format.
        size: a whole file to the width and height that its header claims; raises as the next.
        decode: a whole file to an image; raises UnreadableImageError, or whatever its library does.
        check: raises OutputError where the format cannot hold an image.
        encode: an image that passed `check` to a whole file.
    """

    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    size: Callable[[bytes], tuple[int, int]]
    decode: Callable[[bytes], ImageFile]
    check: Callable[[ImageFile], None]
    encode: Callable[[ImageFile], bytes]


FORMATS: dict[FormatName, Format] = {
    "jpeg": Format(
        (".jpg", ".jpeg"), lambda head: head.startswith(jpeg.SIGNATURE), jpeg.size, jpeg.decode, jpeg.check, jpeg.encode
    ),
    "png": Format((".png",), lambda head: head.startswith(png.SIGNATURE), png.size, png.decode, png.check, png.encode),
    "tiff": Format(
        (".tif", ".tiff"),
        lambda head: head.startswith(tiff.SIGNATURES),
        tiff.size,
        tiff.decode,
        tiff.check,
        tiff.encode,
    ),
    "webp": Format(
        (".webp",),
        lambda head: (head[:4], head[8:12]) == (b"RIFF", b"WEBP"),
        webp.size,
        webp.decode,
        webp.check,
        webp.encode,
    ),
}

SUFFIXES = tuple(suffix for form in FORMATS.values() for suffix in form.suffixes)


def format_of(path: Path) -> Format | None:
    """The format that the suffix of ``path`` names, or None."""
    return next((form for form in FORMATS.values() if path.suffix.lower() in form.suffixes), None)


def has_image_suffix(path: Path) -> bool:
    """Whether the suffix of ``path`` names an image format."""
    return format_of(path) is not None
