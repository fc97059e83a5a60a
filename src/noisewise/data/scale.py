"""Which pixel values stand for black and white."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["AnyArray", "Scale", "working_scale"]

AnyArray = np.ndarray[Any, np.dtype[Any]]


class Scale(NamedTuple):
    """The pixel values that stand for 0 and 1."""

    low: float
    high: float

    def to_unit(self, values: AnyArray) -> AnyArray:
        """Pixel values to the unit scale, float32."""
        unit: AnyArray = values.astype(np.float32)
        unit -= np.float32(self.low)  # in place: of a large photograph every copy counts
        unit /= np.float32(self.high - self.low)
        return unit

    def from_unit(self, unit: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
        """Back to pixel values; integers are rounded and clipped to what the type holds, floats are not clipped."""
        values: AnyArray = unit * np.float32(self.high - self.low) + np.float32(self.low)
        if np.issubdtype(dtype, np.floating):
            return values.astype(dtype)
        limits = np.iinfo(dtype)
        return np.rint(values).clip(limits.min, limits.max).astype(dtype)


def working_scale(pixels: AnyArray) -> Scale:
    """Which values of ``pixels`` to take for 0 and 1.

    8-bit images: 0 and 255. Floats near [0, 1] (noise may leave it): 0 and 1. Other floats, and 16-bit images that use
    less than a quarter of their range (raw sensor data in a wide container): 0, or the lowest value if negative, and
    the 99.9th percentile, so that the network sees a well-exposed image.
    """
    if pixels.dtype == np.uint8:
        return Scale(0.0, 255.0)
    sample = pixels[:: max(1, pixels.shape[0] // 512), :: max(1, pixels.shape[1] // 512)]
    low, bright = min(0.0, float(np.percentile(sample, 0.1))), float(np.percentile(sample, 99.9))
    if np.issubdtype(pixels.dtype, np.floating):
        near_unit = bright <= 3.0 and low >= -2.0
        return Scale(0.0, 1.0) if near_unit else Scale(low, bright if bright > low else low + max(1.0, abs(low)))
    full = float(np.iinfo(pixels.dtype).max)
    return Scale(0.0, full) if bright > full / 4 or bright == 0 else Scale(0.0, bright)
