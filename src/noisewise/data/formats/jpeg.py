"""JPEG, 8-bit grey and RGB, through Pillow. CMYK is refused: without colour management it would change colour."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, JpegImagePlugin

from noisewise.data.formats.exif import MARKER
from noisewise.data.formats.limits import check_size
from noisewise.data.image import ImageFile
from noisewise.errors import OutputError, UnreadableImageError

__all__ = ["QUALITY", "SIGNATURE", "check", "decode", "encode", "size"]

SIGNATURE = b"\xff\xd8\xff"
QUALITY = 95
"""Written with full chroma (4:4:4); higher settings grow the file more than they help."""

_MAX_SIDE = 65500  # libjpeg's JPEG_MAX_DIMENSION
_MAX_EXIF_BYTES = 65533 - len(MARKER)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"


def size(data: bytes) -> tuple[int, int]:
    """Width and height of the image in ``data``, from its header."""
    width, height = JpegImagePlugin.JpegImageFile(io.BytesIO(data)).size
    return width, height


def decode(data: bytes) -> ImageFile:
    """The image in ``data``; of several pictures in one file (MPO) the first.

    Raises:
        UnreadableImageError: CMYK, truncated or too large.
    """
    # The class itself rather than Image.open, whose size limit is a setting of the whole process.
    picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    check_size(*picture.size)
    if picture.mode not in ("L", "RGB"):
        raise UnreadableImageError(f"its colours are {picture.mode}; convert it to RGB in an image editor")
    _refuse_truncated(data)
    return ImageFile.from_samples(
        np.asarray(picture),
        format="jpeg",
        icc=picture.info.get("icc_profile"),
        exif=picture.info.get("exif", b"").removeprefix(MARKER) or None,
        resolution=picture.info.get("dpi"),
    )


def check(image: ImageFile) -> None:
    """Raises OutputError where JPEG cannot hold ``image``."""
    if image.bit_depth != 8:
        raise OutputError(f"JPEG holds 8 bits a channel, not {image.bit_depth}; choose .png or .tiff")
    if image.alpha is not None:
        raise OutputError("JPEG holds no transparency; choose .png, .tiff or .webp")
    if max(image.width, image.height) > _MAX_SIDE:
        raise OutputError(f"JPEG holds at most {_MAX_SIDE} pixels a side; choose .png or .tiff")
    if image.exif and len(image.exif) > _MAX_EXIF_BYTES:
        raise OutputError(f"JPEG holds at most {_MAX_EXIF_BYTES} bytes of EXIF; choose .png, .tiff or .webp")


def encode(image: ImageFile) -> bytes:
    """``image`` as a JPEG file of quality `QUALITY` without chroma subsampling."""
    options = {
        "icc_profile": image.icc,
        "exif": MARKER + image.exif if image.exif else None,
        "dpi": tuple(map(round, image.resolution)) if image.resolution else None,
    }
    file = io.BytesIO()
    present = {name: value for name, value in options.items() if value}
    Image.fromarray(image.pixels).save(file, "JPEG", quality=QUALITY, subsampling=0, **present)
    return file.getvalue()


def _refuse_truncated(data: bytes) -> None:
    # Not left to Pillow, which accepts truncated files once any code of the process sets LOAD_TRUNCATED_IMAGES.
    at = len(SIGNATURE) - 1
    while data[at + 1] != _START_OF_SCAN:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if data[at + 1] != 0xFF else 1
    if data.find(_END_OF_IMAGE, at) < 0:
        raise UnreadableImageError("it is truncated; copy or export it again")
