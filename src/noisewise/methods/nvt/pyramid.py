"""PFIC: the image at every scale goes into the encoder, and every scale of the decoder answers for it.

Source: thesis, section on PFIC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.models.unet import finest_scale

__all__ = ["Pyramid", "masked_pool", "pyramid_loss"]


class Pyramid(nn.Module):
    """An encoder-decoder with the image's own scales at its levels; an encoder-decoder itself.

    Args:
        network: an :class:`noisewise.contracts.EncoderDecoder` whose level l has 2^-l of the resolution.
        channels: of the images.
        widths: channels of the features of each level, finest first, in the encoder and in the decoder alike.
    """

    def __init__(self, network: nn.Module, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.network: Any = network
        self.injections = nn.ModuleList(nn.Conv2d(channels, width, 1) for width in widths)
        self.heads = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths[1:])

    def encode(self, images: Images) -> list[Tensor]:
        """The network's features, to each level's added what the image averaged down to it brings."""
        features = zip(self.injections, self.network.encode(images), strict=True)
        return [level + inject(_pooled(images, index)) for index, (inject, level) in enumerate(features)]

    def decode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The image at every scale, finest first."""
        image, *levels = self.network.decode(features)
        return [image, *(head(level) for head, level in zip(self.heads, levels, strict=True))]

    def forward(self, images: Images) -> Images:
        """The image at full scale, ``B x C x H x W`` of any size."""
        return finest_scale(self, images, len(self.injections))


def pyramid_loss(
    scales: Sequence[Tensor], target: Images, mask: Float[Tensor, "batch 1 height width"] | None = None
) -> Float[Tensor, ""]:
    """Squared error at every scale, weighted by its share of pixels: 1, 1/4, 1/16, ...

    Args:
        scales: estimates, finest first, each half as large as the one before.
        target: at full scale.
        mask: 1 for the pixels of the target that count, for all if None. Coarser targets are means over these alone:
            the others were the network's input, and a mean with them would let it copy.
    """
    weights = torch.ones_like(target[:, :1]) if mask is None else mask
    losses = []
    for level, estimate in enumerate(scales):
        pooled, share = masked_pool(target, weights, 2**level)
        losses.append(4.0**-level * ((estimate - pooled).square() * (share > 0)).sum() / _counted(share, target))
    return torch.stack(losses).sum()


def masked_pool(
    values: Images, mask: Float[Tensor, "batch 1 height width"], factor: int
) -> tuple[Float[Tensor, "batch channels _ _"], Float[Tensor, "batch 1 _ _"]]:
    """``sum(B y) / sum(B)`` over squares of side ``factor``, 0 where nothing counts, and the share that counts."""
    share = F.avg_pool2d(mask, factor)
    return F.avg_pool2d(mask * values, factor) / share.clamp_min(torch.finfo(share.dtype).tiny), share


def _counted(share: Tensor, target: Images) -> Tensor:
    return ((share > 0).sum() * target.shape[1]).clamp_min(1)


def _pooled(images: Images, level: int) -> Tensor:
    return F.avg_pool2d(images, 2**level)
