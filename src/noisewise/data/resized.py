"""Photographs brought to the size of a network's input."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from noisewise.data.patches import load_rgb

__all__ = ["load_resized"]


def load_resized(path: Path, size: tuple[int, int]) -> Float[Tensor, "3 height width"]:
    """A photograph as RGB in [0, 1], shrunk or enlarged to cover ``size`` and cut to it in the middle.

    Args:
        path: the file.
        size: height and width in pixels.

    Raises:
        UnreadableImageError: the file is no image that can be read.
    """
    from torchvision.transforms.v2 import functional

    image = load_rgb(path)
    scale = max(wanted / came for wanted, came in zip(size, image.shape[1:], strict=True))
    covering = [max(wanted, math.ceil(scale * came - 1e-9)) for wanted, came in zip(size, image.shape[1:], strict=True)]
    resized = functional.resize(image, covering, antialias=True)
    cut: Tensor = functional.center_crop(resized, list(size))
    return cut.to(torch.float32) / 255
