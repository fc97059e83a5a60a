"""How many bits a pixel really holds: 8 for an 8-bit image that was saved with 16."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["bit_depth"]

_WORD = 16
_MOST_SAMPLES = 2**17
_SAMPLES_PER_LEVEL = 64


def bit_depth(image: Float[Tensor, "channels height width"]) -> int | None:
    """The effective bit depth of an image, from the values that occur in it.

    It is the smallest b up to 16 for which all values are multiples of ``1 / (2^b - 1)``; shifted words (10 bits in
    the upper part of 16) show as a common divisor of the 16-bit values. Where a channel has few distinct values for
    its number of pixels, as after a tone curve on 8-bit data, the logarithm of their number bounds it.

    Args:
        image: ``C x H x W``, floating, nominally in [0, 1]; large images are sampled.

    Returns:
        1 to 16, or None for continuous (floating-point) data.
    """
    step = max(1, image[0].numel() // _MOST_SAMPLES)
    sample = image.flatten(1)[:, ::step].float().cpu().numpy()
    channels = [np.unique(values) for values in sample]
    grid = _grid_bits(np.concatenate(channels).astype(np.float64))
    most = max(len(levels) for levels in channels)
    if (grid is None or grid > 8) and most * _SAMPLES_PER_LEVEL <= sample.shape[1]:
        counted = max(1, math.ceil(math.log2(most)))
        return counted if grid is None else min(grid, counted)
    return grid


def _grid_bits(levels: NDArray[np.float64]) -> int | None:
    """Bits of the coarsest grid that holds all ``levels``."""
    for bits in range(1, _WORD + 1):
        scaled = levels * (2**bits - 1)
        rounding = 4 * np.finfo(np.float32).eps * 2**bits
        if np.abs(scaled - scaled.round()).max() <= rounding:
            break
    else:
        return None
    if bits < _WORD:
        return bits
    words = np.abs(scaled.round()).astype(int).tolist()
    return max(1, round(math.log2((2**_WORD - 1) / math.gcd(*words) + 1)))
