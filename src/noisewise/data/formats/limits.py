"""The largest image that is decoded: a small file can claim a size that fills the memory."""

from __future__ import annotations

from noisewise.errors import UnreadableImageError

__all__ = ["MAX_PIXELS", "check_size"]

MAX_PIXELS = 400_000_000
"""Width times height; larger images are taken for decompression bombs."""


def check_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    """Refuses an image of more than ``most`` pixels, before its pixels are decoded.

    Raises:
        UnreadableImageError: the image is too large, or has no pixels.
    """
    if width < 1 or height < 1:
        raise UnreadableImageError(f"it claims {width} x {height} pixels; export it again")
    if width * height > most:
        limit = f"the limit of {most / 1e6:g} megapixels"
        raise UnreadableImageError(f"its {width} x {height} pixels exceed {limit}; cut it into tiles first")
