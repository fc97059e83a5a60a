"""A network for colour, on grey images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from noisewise.contracts import Images

__all__ = ["OnGrey"]


class OnGrey(nn.Module):
    """Shows a grey image to a network as three equal channels, and takes the mean of its answer.

    Args:
        network: an encoder-decoder of three channels.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def encode(self, images: Images) -> list[Tensor]:
        """The network's features of ``B x 1 x H x W``."""
        features: list[Tensor] = self.network.encode(images.expand(-1, 3, -1, -1))
        return features

    def decode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The grey image, and after it what the network's decoder has at coarser levels."""
        image, *levels = self.network.decode(features)
        return [image.mean(1, keepdim=True), *levels]

    def forward(self, images: Images) -> Images:
        """``B x 1 x H x W`` to the same."""
        image: Images = self.network(images.expand(-1, 3, -1, -1)).mean(1, keepdim=True)
        return image
