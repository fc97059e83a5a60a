"""Training patches: random crops of a folder of photographs, some enlarged, all flipped and turned at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from noisewise.contracts import Shares
from noisewise.data.reading import first_few, read_all, read_image
from noisewise.data.scale import working_scale
from noisewise.errors import DatasetError

__all__ = ["PatchSampler", "load_rgb", "load_unit"]

_LARGEST = 3.0
"""Side of an enlarged patch over that of the crop it came from, at most."""


def load_rgb(path: Path) -> Tensor:
    """A photograph as ``3 x H x W`` uint8; deeper ones are rounded, grey ones repeated, transparency is dropped.

    Raises:
        UnreadableImageError: the file is no image that can be read.
    """
    image = read_image(path)
    pixels = np.rint(image.to_float().clip(0, 1) * 255).astype(np.uint8)
    planes = torch.from_numpy(np.atleast_3d(pixels)).movedim(-1, 0)
    return planes.expand(3, -1, -1).contiguous()


def load_unit(path: Path) -> Tensor:
    """A photograph as ``3 x H x W`` float32 at its full depth, on the scale on which it is denoised.

    Raises:
        UnreadableImageError: the file is no image that can be read.
    """
    pixels = read_image(path).pixels
    unit = working_scale(pixels).to_unit(pixels)
    return torch.from_numpy(np.atleast_3d(unit)).movedim(-1, 0).expand(3, -1, -1).contiguous()


class PatchSampler:
    """Draws batches of square RGB patches from photographs held in memory.

    Args:
        paths: the photographs; each at least ``size`` pixels wide and high.
        size: side of a patch in pixels.
        enlarged: share of the patches that are smaller crops, enlarged up to three times: as soft as the pixels of a
            full-size photograph, where those of a small one are sharp.
        load: from a file to ``3 x H x W``, 8-bit or floating.
        progress: called after every photograph with how many are read, and to read.

    Raises:
        DatasetError: there is no photograph, or one is smaller than a patch.
        UnreadableImageError: some are no images that can be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        size: int,
        *,
        enlarged: float = 0.0,
        load: Callable[[Path], Tensor] = load_rgb,
        progress: Shares = lambda done, total: None,
    ) -> None:
        if not paths:
            raise DatasetError(
                "expected at least one photograph to train on, found none; check the folder and its exclusions"
            )
        self.size = size
        self.enlarged = enlarged
        self.names = [path.name for path in paths]
        self.images = read_all(paths, load, progress)
        _require_patches(dict(zip(paths, self.images, strict=True)), size)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """``count x 3 x size x size`` floats, those of 8-bit photographs in [0, 1]."""
        return torch.stack([self._draw_one(generator) for _ in range(count)])

    def _draw_one(self, generator: torch.Generator) -> Tensor:
        which, row, column, flip, turn, zoom, enlarge = torch.rand(7, generator=generator).tolist()
        image = self.images[int(which * len(self.images))]
        factor = 1 + zoom * (_LARGEST - 1) if enlarge < self.enlarged else 1.0
        side = math.ceil(self.size / factor)
        top = int(row * (image.shape[1] - side + 1))
        left = int(column * (image.shape[2] - side + 1))
        crop = image[:, top : top + side, left : left + side]
        patch = _resized(crop if crop.is_floating_point() else crop.float() / 255, self.size)
        patch = patch.flip(-1) if flip < 0.5 else patch
        return torch.rot90(patch, int(turn * 4), (1, 2))


def _require_patches(images: dict[Path, Tensor], size: int) -> None:
    small = [path for path, image in images.items() if min(image.shape[1:]) < size]
    if len(small) == 1:
        height, width = images[small[0]].shape[1:]
        raise DatasetError(f"{small[0]} is {width}x{height}, smaller than a patch of {size}; leave it out")
    if small:
        raise DatasetError(
            f"{len(small)} images are smaller than a patch of {size}: {first_few(small)}; leave them out"
        )


def _resized(patch: Tensor, size: int) -> Tensor:
    if patch.shape[-1] == size:
        return patch
    return F.interpolate(patch.unsqueeze(0), (size, size), mode="bicubic").squeeze(0).clamp(0, 1)
