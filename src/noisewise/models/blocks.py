"""Building blocks of the denoising networks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ResidualBlock", "residual_stage"]


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))``, no normalisation, as in EDSR (Lim et al. 2017) and DRUNet (Zhang et al. 2021)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.get_parameter("bias"))
        self.second.weight.data.mul_(
            0.1
        )  # starts close to the identity, so that deep stacks train without warm-up tricks

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        residual: Tensor = self.second(F.relu(self.first(x)))
        return x + residual


def residual_stage(channels: int, blocks: int) -> nn.Sequential:
    """``blocks`` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
