"""Was an image saved as a JPEG, and at which quality? Read from the pixels alone; one image ``C x H x W`` in [0, 1]."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["JpegGrid", "jpeg_grid", "jpeg_quality", "luminance_table"]

_BLOCK = 8
_HIGHEST_RING = 5  # u + v of the coefficients looked at; higher ones are mostly quantised to zero
_LEAST_COHERENCE = 0.15  # unquantised photographs stay below 0.05, quality 95 reaches 0.25 (BSDS500 training images)
_FEWEST_COEFFICIENTS, _FEWEST_FREQUENCIES = 30, 8  # gradients and graphics have few, at regular values
_MOST_BLOCKS = 1024

# ITU-T T.81, annex K, table K.1, row by row
_TABLE_K1 = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


class JpegGrid(NamedTuple):
    """The 8 x 8 grid that an image shows most."""

    contrast: float
    """Relative excess of the luminance steps on the grid, >= 0; above 0.05 in images that were JPEGs."""
    row: int
    """First row of a block, 0 to 7; 0 in a JPEG that was not cropped."""
    column: int
    """First column of a block, 0 to 7."""


def luminance_table(quality: int) -> Float[Tensor, "8 8"]:
    """Quantisation steps of the luminance at ``quality`` 1 to 100 on the scale of libjpeg (``jpeg_set_quality``).

    Table K.1 of ITU-T T.81 times ``50 / quality`` below 50 and ``2 - quality / 50`` from there on, rounded,
    in [1, 255].
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return torch.tensor(_TABLE_K1).mul(percent).add(50).div(100, rounding_mode="floor").clamp(1, 255).float()


def jpeg_grid(image: Float[Tensor, "channels height width"]) -> JpegGrid:
    """Strength and position of the block grid, from the steps across the eight possible boundaries on each axis.

    A step is the third difference ``|x[j-2] - 3 x[j-1] + 3 x[j] - x[j+1]|`` of the luminance across ``j``, capped at
    three times the median plus one level (edges of the picture are larger); the contrast of an axis is the largest of
    its eight mean steps over their median, less one. The weaker axis counts.

    Args:
        image: ``C x H x W``, floating, in [0, 1].

    Returns:
        The grid; contrast 0 for constant images and below 16 x 16 pixels.
    """
    if min(image.shape[-2:]) < 2 * _BLOCK:
        return JpegGrid(0.0, 0, 0)
    luminance = _luminance(image)
    across, column = _strongest_phase(luminance)
    down, row = _strongest_phase(luminance.T)
    return JpegGrid(min(across, down), row, column)


def jpeg_quality(image: Float[Tensor, "channels height width"], *, row: int = 0, column: int = 0) -> int | None:
    """The quality whose quantisation table the luminance of an undisturbed JPEG fits, on the scale of libjpeg.

    DCT coefficients of a decoded JPEG lie close to multiples of the step q of their frequency. For each quality the
    coherence is the mean of ``cos(2 pi c / q)`` over the coefficients ``|c| > 0.3 q``, averaged over the frequencies;
    the most coherent quality wins (after Fan and de Queiroz, Identification of Bitmap Compression History, IEEE TIP
    2003, who maximise a likelihood). Steps of 1 leave no trace in rounded pixels: qualities above about 95 are not
    seen.

    Args:
        image: ``C x H x W``, floating, in [0, 1].
        row: first row of a block, 0 to 7.
        column: first column of a block, 0 to 7.

    Returns:
        Quality 1 to 100, or None where no table fits: no JPEG, or changed since (noise, scaling, another grid).
    """
    coefficients = _block_coefficients(image[..., row:, column:])
    tables = torch.stack([luminance_table(quality) for quality in range(1, 101)]).to(coefficients)
    best, index = _coherence(coefficients, tables).max(0)
    return int(index) + 1 if best > _LEAST_COHERENCE else None


def _luminance(image: Tensor) -> Tensor:
    """Y of JFIF (ITU-R BT.601) on the 0-255 scale; other than three channels are averaged."""
    image = image.float()
    if image.shape[0] != 3:
        return 255 * image.mean(0)
    return 255 * torch.einsum("chw,c->hw", image, image.new_tensor([0.299, 0.587, 0.114]))


def _strongest_phase(luminance: Tensor) -> tuple[float, int]:
    steps = torch.diff(luminance, n=3).abs()
    steps = steps[:, : steps.shape[1] // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    capped = steps.clamp_max(3 * steps.median() + 1).mean(0)
    capped = capped.roll(2)  # the third difference k straddles the boundary before pixel k + 2
    phase = int(capped.argmax())
    level = capped.median()
    contrast = (capped[phase] - level) / level.clamp_min(0.05)
    return max(0.0, float(contrast)), phase


def _block_coefficients(image: Tensor) -> Tensor:
    """Orthonormal DCT of the blocks without clipped pixels, ``N x 8 x 8``."""
    height, width = (side // _BLOCK * _BLOCK for side in image.shape[-2:])
    image = image[..., :height, :width]
    clipped = ((image == 0) | (image == 1)).any(0)
    whole = ~_blocks(clipped).flatten(1).any(1)
    blocks = _blocks(_luminance(image))[whole]
    blocks = blocks[:: max(1, len(blocks) // _MOST_BLOCKS)]
    index = torch.arange(_BLOCK, device=image.device, dtype=torch.float32)
    basis = torch.cos(math.pi / _BLOCK * (index + 0.5) * index[:, None]) / 2
    basis[0] /= math.sqrt(2)
    return basis @ (blocks - 128) @ basis.T


def _blocks(plane: Tensor) -> Tensor:
    rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
    return plane.reshape(rows, _BLOCK, columns, _BLOCK).transpose(1, 2).reshape(-1, _BLOCK, _BLOCK)


def _coherence(coefficients: Tensor, tables: Tensor) -> Tensor:
    """Coherence of blocks ``N x 8 x 8`` with each of ``Q x 8 x 8`` tables; 0 where too few coefficients tell."""
    index = torch.arange(_BLOCK, device=coefficients.device)
    ring = index[:, None] + index
    looked_at = (ring > 0) & (ring <= _HIGHEST_RING)
    ratio = coefficients[:, looked_at] / tables[:, None, looked_at]
    present = ratio.abs() > 0.3
    count = present.sum(1)
    coherence = (torch.cos(2 * math.pi * ratio) * present).sum(1) / count.clamp_min(1)
    known = count >= _FEWEST_COEFFICIENTS
    mean = (coherence * known).sum(1) / known.sum(1).clamp_min(1)
    return mean * (known.sum(1) >= _FEWEST_FREQUENCIES)
