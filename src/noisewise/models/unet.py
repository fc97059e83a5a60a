"""A plain U-Net in two halves: the network of those who bring none of their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from noisewise.contracts import EncoderDecoder, Images
from noisewise.models.blocks import residual_stage

__all__ = ["UNet", "finest_scale"]


class UNet(nn.Module):
    """Residual stages at full, half, ... resolution, joined by sums (Ronneberger et al. 2015; Zhang et al. 2021).

    Args:
        channels: of the images.
        widths: channels of the stages, finest first.
        blocks: residual blocks of each stage, in the encoder and again in the decoder.

    Attributes:
        widths: as given.
    """

    def __init__(self, channels: int = 3, widths: Sequence[int] = (32, 48, 64), blocks: int = 1) -> None:
        super().__init__()
        self.widths = tuple(widths)
        pairs = list(pairwise(self.widths))
        self.head = nn.Conv2d(channels, self.widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(residual_stage(width, blocks) for width in self.widths)
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.decoders = nn.ModuleList(residual_stage(width, blocks) for width in self.widths[:-1])
        self.tail = nn.Conv2d(self.widths[0], channels, 3, padding=1)

    def forward(self, images: Images) -> Images:
        """``B x C x H x W`` of any size to the same."""
        return finest_scale(self, images, len(self.widths))

    def encode(self, images: Images) -> list[Tensor]:
        """Features of every level, finest first; the sides are multiples of ``2 ** (levels - 1)``."""
        x = self.head(images)
        features = [self.encoders[0](x)]
        for down, encoder in zip(self.downs, list(self.encoders)[1:], strict=True):
            features.append(encoder(down(features[-1])))
        return features

    def decode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The image, and after it what the decoder has at half, a quarter, ... of the resolution."""
        levels = [features[-1]]
        for level in reversed(range(len(self.decoders))):
            levels.insert(0, self.decoders[level](self.ups[level](levels[0]) + features[level]))
        return [self.tail(levels[0]), *levels[1:]]


def finest_scale(network: EncoderDecoder, images: Images, levels: int) -> Images:
    """The image that a network of so many levels makes of images of any size, which are padded to whole strides."""
    height, width = images.shape[-2:]
    stride = 2 ** (levels - 1)
    padded = F.pad(images, (0, -width % stride, 0, -height % stride), mode="replicate")
    return network.decode(network.encode(padded))[0][..., :height, :width]
