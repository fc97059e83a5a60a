"""What all image noises share: the registry, the check of the input, the working precision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from noisewise._registry import Registry
from noisewise.contracts import Images
from noisewise.errors import ArgumentError

__all__ = ["NOISES", "ImageNoise", "intensity", "require"]

NOISES: Registry[type[ImageNoise]] = Registry("noise")
"""Every image noise by its name in specifications such as ``gaussian:sigma=25``."""


def intensity(default: float) -> Any:
    """A dataclass field in units of pixel values: [0, 1] in Python, 0-255 in specifications and for ``default``."""
    return field(default=default / 255, metadata={"per_255": True})


def require(condition: bool, expected: str, came: object) -> None:
    """Raise ArgumentError unless ``condition`` holds."""
    if not condition:
        raise ArgumentError(f"expected {expected}, got {came!r}")


class ImageNoise(ABC):
    """Base of the image noises: immutable, seeded, sample by sample, in the dtype and on the device of its input."""

    mixes_samples: ClassVar[bool] = False

    def __call__(self, clean: Images, *, generator: torch.Generator) -> Images:
        """The noisy batch.

        Args:
            clean: ``B x C x H x W``, floating, nominally in [0, 1]; left untouched.
            generator: the source of all randomness, on the device of ``clean``.

        Raises:
            ArgumentError: ``clean`` is not a floating batch of images.
        """
        if clean.ndim != 4 or not clean.is_floating_point():
            raise ArgumentError(
                f"expected a floating tensor B x C x H x W, got {tuple(clean.shape)} of {clean.dtype}; "
                "add the batch axis with image[None] and divide integers by their maximum"
            )
        working = torch.promote_types(clean.dtype, torch.float32)  # half precision would round the moments away
        noisy = self._corrupt(clean.to(working), generator).to(clean.dtype)
        return noisy.clone() if noisy is clean else noisy  # writing to the result must not write to the input

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """The same noise with its level (a standard deviation, unless the class says otherwise) times ``factor``."""

    @abstractmethod
    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The noisy batch, in working precision; must not write to ``x``."""
