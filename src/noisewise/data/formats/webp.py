"""WebP, 8-bit RGB with or without alpha, through Pillow; written without loss."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, WebPImagePlugin

from noisewise.data.formats.exif import MARKER
from noisewise.data.formats.limits import check_size
from noisewise.data.image import ImageFile
from noisewise.errors import OutputError, UnreadableImageError

__all__ = ["check", "decode", "encode", "size"]

_MAX_SIDE = 16383


def size(data: bytes) -> tuple[int, int]:
    """Width and height of the image in ``data``, from its header."""
    width, height = WebPImagePlugin.WebPImageFile(io.BytesIO(data)).size
    return width, height


def decode(data: bytes) -> ImageFile:
    """The image in ``data``.

    Raises:
        UnreadableImageError: animated or too large.
    """
    # The class itself rather than Image.open, whose size limit is a setting of the whole process.
    picture = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    check_size(*picture.size)
    if picture.is_animated:
        frames = f"{picture.n_frames} frames"
        raise UnreadableImageError(f"it is animated ({frames}); save the frames as files of their own")
    return ImageFile.from_samples(
        np.asarray(picture),
        format="webp",
        icc=picture.info.get("icc_profile"),
        exif=picture.info.get("exif", b"").removeprefix(MARKER) or None,
    )


def check(image: ImageFile) -> None:
    """Raises OutputError where WebP cannot hold ``image``."""
    if image.bit_depth != 8:
        raise OutputError(f"WebP holds 8 bits a channel, not {image.bit_depth}; choose .png or .tiff")
    if max(image.width, image.height) > _MAX_SIDE:
        raise OutputError(f"WebP holds at most {_MAX_SIDE} pixels a side; choose .png or .tiff")
    if image.is_grey and image.icc:
        raise OutputError("WebP stores grey as RGB, which a grey ICC profile does not fit; choose .png or .tiff")


def encode(image: ImageFile) -> bytes:
    """``image`` as a lossless WebP file, grey as RGB."""
    colour = np.dstack([image.pixels] * 3) if image.is_grey else image.pixels
    samples = colour if image.alpha is None else np.dstack([colour, image.alpha])
    file = io.BytesIO()
    metadata = {"icc_profile": image.icc or b"", "exif": image.exif or b""}
    # exact keeps the colours of fully transparent pixels.
    Image.fromarray(samples).save(file, "WEBP", lossless=True, exact=True, **metadata)
    return file.getvalue()
