"""One noisy image, some of whose pixels no learner sees: they judge what is made of the others.

Where the noise of a pixel says nothing of its neighbours' noise, the error of an estimate at such pixels is its error
against the truth plus the variance of the noise. Where neighbours share their noise, it favours estimates that keep
some of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.noise import functional as N

__all__ = ["Mask", "Observed", "filled", "hold_out", "random_mask"]

Mask = Float[Tensor, "1 1 height width"]
_WIDTH = 1.0
"""Of the Gaussian that fills in, in pixels."""


@dataclass(frozen=True, eq=False)
class Observed:
    """A noisy image of which a part is held out.

    Attributes:
        noisy: ``1 x C x H x W``.
        kept: 1 for the pixels that may be learnt from, 0 for those that judge.
    """

    noisy: Images
    kept: Mask

    @cached_property
    def visible(self) -> Images:
        """The image with means of their neighbours in the place of held-out pixels."""
        return filled(self.noisy, self.kept)

    def error(self, estimate: Images) -> float:
        """Mean squared difference to the held-out pixels."""
        squares = (estimate - self.noisy).square().mean(1, keepdim=True) * (1 - self.kept)
        return float(squares.double().sum() / (1 - self.kept).sum())

    def crop(self, side: int, generator: torch.Generator) -> Observed:
        """A random square of it, or all of it along an axis that is shorter."""
        rows, columns = (_span(length, side, generator) for length in self.noisy.shape[-2:])
        return Observed(self.noisy[..., rows, columns], self.kept[..., rows, columns])


def hold_out(noisy: Images, share: float, generator: torch.Generator) -> Observed:
    """The image with a random share of its pixels, all channels of each, held out.

    Args:
        noisy: ``1 x C x H x W``.
        share: above 0 and below 1.
        generator: of the choice, on the device of the image.

    Raises:
        ArgumentError: not one image, one of so few pixels that none is held out, or another share.
    """
    if noisy.ndim != 4 or len(noisy) != 1:
        raise ArgumentError(f"expected one image 1 x C x H x W, got {tuple(noisy.shape)}; pass images one by one")
    if not 0 < share < 1:
        raise ArgumentError(f"expected a share of pixels between 0 and 1 to hold out, got {share}")
    kept = random_mask(noisy, 1 - share, generator)
    if kept.all():
        raise ArgumentError(f"expected enough pixels to hold out {share:.0%} of, got {tuple(noisy.shape[-2:])}")
    return Observed(noisy, kept)


def random_mask(like: Images, share: float, generator: torch.Generator) -> Mask:
    """1 for a random share of the pixels, 0 for the others."""
    return (N.uniform((1, 1, *like.shape[-2:]), like, generator) < share).to(like)


def filled(images: Images, kept: Mask) -> Images:
    """The images with Gaussian means of the kept pixels around in the place of the others."""
    kernel = N.gaussian_kernel(_WIDTH, images)
    window = torch.outer(kernel, kernel).expand(images.shape[1] + 1, 1, -1, -1)
    stacked = torch.cat([images * kept, kept], dim=1)
    blurred = F.conv2d(stacked, window, padding=kernel.numel() // 2, groups=images.shape[1] + 1)
    means = blurred[:, :-1] / blurred[:, -1:].clamp_min(torch.finfo(images.dtype).tiny)
    return torch.where(kept > 0, images, means)


def _span(length: int, side: int, generator: torch.Generator) -> slice:
    start = int(torch.randint(max(0, length - side) + 1, (1,), generator=generator, device=generator.device))
    return slice(start, start + side)
