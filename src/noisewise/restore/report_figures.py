"""Arrays in, pictures for the report out: what is drawn, at what size, and how it is embedded."""

from __future__ import annotations

import base64
import io
import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "Pixels",
    "autocorrelation_map",
    "centre_crop",
    "data_uri",
    "display_size",
    "encoded",
    "reduced",
    "residual_gain",
    "residual_map",
]

Pixels = NDArray[np.uint8]

T = TypeVar("T", bound=np.generic)

_MAX_GAIN = 128.0
_MAX_SIDE = 16_384  # browsers refuse to draw longer ones


def residual_gain(residual: NDArray[np.floating]) -> float:
    """The power of two, from 1 to 128, that makes a residual easy to see.

    ``g = 2^floor(log2(0.5 / (2.5 rms(r))))``: a Gaussian residual then clips in about one value of a hundred, and a
    power of two keeps the gains of two images easy to compare.

    Args:
        residual: any shape, on the [0, 1] scale.
    """
    rms = math.sqrt(float(np.mean(np.square(residual))))
    if rms == 0:
        return _MAX_GAIN
    return min(max(2.0 ** math.floor(math.log2(0.2 / rms)), 1.0), _MAX_GAIN)


def residual_map(residual: NDArray[np.floating], gain: float) -> Pixels:
    """``255 (1/2 + gain r)``, rounded and clipped: mid-grey is zero, brighter is positive.

    Args:
        residual: ``H x W`` or ``H x W x 3``, on the [0, 1] scale.
        gain: amplification; values beyond ``0.5 / gain`` are clipped.
    """
    grey: Pixels = np.clip(np.rint(127.5 + 255 * gain * residual), 0, 255).astype(np.uint8)
    return grey


def autocorrelation_map(autocorrelation: NDArray[np.floating]) -> Pixels:
    """``255 (1 + r) / 2``: black is -1, mid-grey 0, white 1; one pixel a lag.

    Args:
        autocorrelation: ``K x K`` in [-1, 1], lag zero at the centre.
    """
    return residual_map(autocorrelation, gain=0.5)


def display_size(size: tuple[int, int], max_pixels: float) -> tuple[int, int]:
    """The largest ``(height, width)`` in the proportions of ``size`` with at most ``max_pixels``; never beyond it."""
    height, width = size
    scale = min(1.0, math.sqrt(max_pixels / (height * width)), _MAX_SIDE / max(height, width))
    return max(1, int(height * scale)), max(1, int(width * scale))


def reduced(picture: NDArray[T], size: tuple[int, int]) -> NDArray[T]:
    """``picture`` at ``size = (height, width)`` by Lanczos' filter, the very same where that is its size already.

    Args:
        picture: ``H x W`` or ``H x W x 3``, uint8 or float32.
        size: in pixels.
    """
    if picture.shape[:2] == size:
        return picture
    planes = np.atleast_3d(picture).transpose(2, 0, 1)
    shrunk = [Image.fromarray(plane).resize(size[::-1], Image.Resampling.LANCZOS) for plane in planes]
    return np.stack([np.asarray(plane) for plane in shrunk], axis=-1).reshape(*size, *picture.shape[2:])


def centre_crop(picture: NDArray[T], size: tuple[int, int]) -> NDArray[T]:
    """The central ``size = (height, width)`` pixels, as they are."""
    top, left = ((whole - part) // 2 for whole, part in zip(picture.shape[:2], size, strict=True))
    return picture[top : top + size[0], left : left + size[1]]


def data_uri(pixels: Pixels, *, lossless: bool) -> str:
    """The picture as a ``data:`` address, see :func:`encoded`."""
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded(pixels, lossless=lossless)).decode('ascii')}"


def encoded(pixels: Pixels, *, lossless: bool) -> bytes:
    """The picture as a file: PNG, or JPEG of quality 92.

    The JPEG keeps chroma at full resolution (4:4:4): halving it, as most encoders and lossy WebP do, would average
    colour noise away and flatter the noisy picture.

    Args:
        pixels: ``H x W`` or ``H x W x 3``.
        lossless: PNG rather than JPEG.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if lossless:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=92, subsampling="4:4:4")
    return buffer.getvalue()
