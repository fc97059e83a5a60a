"""Photographs brought to the size of a network's input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from noisewise._rng import make_generator
from noisewise.contracts import Shares
from noisewise.data.patches import load_rgb
from noisewise.data.reading import read_all
from noisewise.errors import DatasetError

__all__ = ["ResizedImages", "load_resized", "load_stretched"]


@dataclass(frozen=True)
class ResizedImages:
    """Photographs brought to one size, which stay in their files until they are loaded.

    Attributes:
        paths: of the files.
        size: height and width in pixels that they are brought to.
    """

    paths: Sequence[Path]
    size: tuple[int, int]

    @classmethod
    def sample(cls, paths: Sequence[Path], size: tuple[int, int], most: int) -> ResizedImages:
        """At most so many of the files, at least two, evenly spread over all, in random order, from any folder.

        Raises:
            DatasetError: fewer than two files.
        """
        if len(paths) < 2:
            raise DatasetError(f"expected at least two images, found {len(paths)}; some hundreds are better")
        count = min(most, len(paths))
        order = torch.randperm(count, generator=make_generator(0)).tolist()
        return cls([paths[i * len(paths) // count].absolute() for i in order], size)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, place: int) -> Float[Tensor, "3 height width"]: ...
    @overload
    def __getitem__(self, place: slice) -> ResizedImages: ...
    def __getitem__(self, place: int | slice) -> Tensor | ResizedImages:
        """One of them, loaded, or a part of them, not yet loaded."""
        if isinstance(place, slice):
            return replace(self, paths=self.paths[place])
        return load_resized(self.paths[place], self.size)

    def split(self, count: int) -> Iterator[ResizedImages]:
        """Parts of ``count`` photographs, the last one of what is left."""
        return (self[first : first + count] for first in range(0, len(self), count))

    def load(self, progress: Shares = lambda done, total: None) -> Float[Tensor, "images 3 height width"]:
        """All of them as RGB in [0, 1]; ``progress`` is told how many are read and to read.

        Raises:
            UnreadableImageError: some of the files are no images that can be read.
        """
        return torch.stack(read_all(self.paths, partial(load_resized, size=self.size), progress))


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


def load_stretched(path: Path, size: tuple[int, int] | None) -> Float[Tensor, "1 3 height width"]:
    """A photograph as RGB, ``1 x 3 x H x W`` in [0, 1].

    Args:
        path: the file.
        size: height and width that it is stretched to; its own if None.

    Raises:
        UnreadableImageError: it is no image that can be read.
    """
    image = load_rgb(path)[None].float() / 255
    return image if size is None else F.interpolate(image, size, mode="bilinear", antialias=True)
