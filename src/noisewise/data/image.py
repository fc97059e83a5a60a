"""One decoded image file: its pixels as stored, and what is needed to write them back as they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from noisewise.errors import ArgumentError

__all__ = ["FormatName", "ImageFile", "Pixels"]

FormatName = Literal["jpeg", "png", "tiff", "webp"]
Pixels: TypeAlias = NDArray[Any]
"""An array of one of the dtypes uint8, uint16, float32 and float64."""

_DTYPES = (np.uint8, np.uint16, np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class ImageFile:
    """A decoded image.

    The EXIF orientation is kept as a tag: pixels are never rotated.

    Attributes:
        pixels: ``H x W`` for grey, ``H x W x 3`` for RGB; uint8, uint16, float32 or float64.
        alpha: unassociated (straight) opacity, ``H x W`` in the dtype of the pixels, or None.
        icc: the embedded ICC profile, or None.
        exif: the EXIF block from its byte-order mark (``II`` or ``MM``) on, or None.
        format: the format that the image was read from.
        resolution: horizontal and vertical pixels per inch, or None.
        colour_chunks: the PNG chunks cHRM, cICP, gAMA and sRGB by name; written back into a PNG, dropped elsewhere.

    Raises:
        ArgumentError: pixels or alpha of another dtype or shape, or without a single pixel.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    format: FormatName = "png"
    resolution: tuple[float, float] | None = None
    colour_chunks: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if dtype not in _DTYPES:
            raise ArgumentError(f"pixels must be uint8, uint16, float32 or float64, not {dtype}; convert them first")
        if not self.pixels.size or shape[2:] not in ((), (3,)) or len(shape) < 2:
            raise ArgumentError(f"pixels must be H x W (grey) or H x W x 3 (RGB), not {shape}; reshape them first")
        if self.alpha is not None and (self.alpha.shape, self.alpha.dtype) != (shape[:2], dtype):
            came = f"{self.alpha.shape} {self.alpha.dtype}"
            raise ArgumentError(f"alpha must be {shape[:2]} {dtype} like the pixels, not {came}; convert it first")

    @classmethod
    def from_samples(cls, samples: Pixels, **metadata: Any) -> Self:
        """An image from interleaved samples.

        Args:
            samples: ``H x W`` or ``H x W x S`` with S = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
            metadata: the remaining fields of the class.
        """
        planes = samples if samples.ndim == 3 else samples[..., None]
        with_alpha = planes.shape[2] in (2, 4)
        colour = planes[..., :-1] if with_alpha else planes
        pixels = colour[..., 0] if colour.shape[2] == 1 else colour
        alpha = np.ascontiguousarray(planes[..., -1]) if with_alpha else None
        return cls(np.ascontiguousarray(pixels), alpha, **metadata)

    @property
    def samples(self) -> Pixels:
        """Pixels and alpha interleaved: ``H x W`` for plain grey, else ``H x W x S`` with S = 2, 3 or 4."""
        samples = self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])
        return np.ascontiguousarray(samples)  # codecs take no views

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])

    @property
    def is_grey(self) -> bool:
        """Whether the pixels have one channel."""
        return self.pixels.ndim == 2

    @property
    def is_float(self) -> bool:
        """Whether the pixels are floating-point numbers."""
        return self.pixels.dtype.kind == "f"

    @property
    def bit_depth(self) -> int:
        """Bits per channel: 8, 16, 32 or 64."""
        return self.pixels.dtype.itemsize * 8

    def to_float(self) -> NDArray[np.float32]:
        """The pixels as float32 in their own shape: integers divided by their maximum, floats as they are."""
        if self.is_float:
            return self.pixels.astype(np.float32)
        return np.divide(self.pixels, np.iinfo(self.pixels.dtype).max, dtype=np.float32)

    def with_float(self, pixels: NDArray[np.floating[Any]]) -> Self:
        """The same file with other pixels, in the bit depth of the present ones.

        Args:
            pixels: shaped like the present pixels. For an integer file on the [0, 1] scale, clipped to it and rounded;
                for a floating-point file taken as they are.

        Raises:
            ArgumentError: another shape, or values that are not finite.
        """
        if pixels.shape != self.pixels.shape:
            raise ArgumentError(f"expected pixels of shape {self.pixels.shape}, not {pixels.shape}; keep the shape")
        if not np.isfinite(pixels).all():
            raise ArgumentError("expected finite pixels, but some are NaN or infinite; replace them first")
        return replace(self, pixels=_quantised(pixels, self.pixels.dtype))


def _quantised(pixels: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> Pixels:
    if dtype.kind == "f":
        return pixels.astype(dtype)
    scaled: Pixels = np.rint(np.clip(pixels, 0, 1) * np.iinfo(dtype).max)
    return scaled.astype(dtype)
