"""Training patches: random crops of a folder of photographs, flipped and turned at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from noisewise.data.reading import read_image
from noisewise.errors import DatasetError

__all__ = ["PatchSampler", "load_rgb"]


def load_rgb(path: Path) -> Tensor:
    """A photograph as ``3 x H x W`` uint8; deeper ones are rounded, grey ones repeated, transparency is dropped.

    Raises:
        UnreadableImageError: the file is no image that can be read.
    """
    image = read_image(path)
    pixels = np.rint(image.to_float().clip(0, 1) * 255).astype(np.uint8)
    planes = torch.from_numpy(np.atleast_3d(pixels)).movedim(-1, 0)
    return planes.expand(3, -1, -1).contiguous()


class PatchSampler:
    """Draws batches of square RGB patches from photographs held in memory as 8-bit tensors.

    Args:
        paths: the photographs; each at least ``size`` pixels wide and high.
        size: side of a patch in pixels.

    Raises:
        DatasetError: there is no photograph, or one is smaller than a patch.
    """

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        if not paths:
            raise DatasetError(
                "expected at least one photograph to train on, found none; check the folder and its exclusions"
            )
        self.size = size
        self.names = [path.name for path in paths]
        self.images = [load_rgb(path) for path in paths]
        for path, image in zip(paths, self.images, strict=True):
            if min(image.shape[1:]) < size:
                raise DatasetError(
                    f"{path} is {image.shape[2]}x{image.shape[1]}, smaller than a patch of {size}; leave it out"
                )

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """``count x 3 x size x size`` floats in [0, 1]."""
        return torch.stack([self._draw_one(generator) for _ in range(count)]).float() / 255

    def _draw_one(self, generator: torch.Generator) -> Tensor:
        unit = torch.rand(5, generator=generator).tolist()
        image = self.images[int(unit[0] * len(self.images))]
        top = int(unit[1] * (image.shape[1] - self.size + 1))
        left = int(unit[2] * (image.shape[2] - self.size + 1))
        patch = image[:, top : top + self.size, left : left + self.size]
        patch = patch.flip(-1) if unit[3] < 0.5 else patch
        return torch.rot90(patch, int(unit[4] * 4), (1, 2))
