"""Small networks of every kind, double precision unless told, the same each time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Attending", "Residual", "SmallViT", "convolutional", "images"]


def images(count: int, side: int = 12, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Smooth random images in [0, 1], which noise is unlike."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 3, 3, generator=generator, dtype=torch.float64)
    fine = nn.functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
    return fine.clamp(0, 1).to(dtype)


def convolutional(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Zero padding, reflection, groups, depthwise without bias, strides, a normalisation, a linear head."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2, padding_mode="reflect"),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 6, 1, bias=False),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    return model.to(dtype).eval()


class Attending(nn.Module):
    """Patches, one packed attention in either layout, a head."""

    def __init__(self, *, batch_first: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.batch_first = batch_first
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        nn.init.normal_(self.attention.in_proj_bias)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        tokens = self.patches(x).flatten(2).mT
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        logits: Tensor = self.head(tokens.mean(1))
        return logits


class Residual(nn.Module):
    """A stem; a convolution, normalised with channels that are turned round, which may be added to it and rectified."""

    def __init__(self, *, adds: bool, rectifies: bool, groups: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.adds, self.rectifies = adds, rectifies
        self.stem, self.convolution = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1, groups=groups)
        self.normalisation = nn.BatchNorm2d(4)
        self.normalisation.running_mean.uniform_(-0.3, 0.3)
        self.normalisation.running_var.uniform_(0.01, 0.05)
        nn.init.uniform_(self.normalisation.weight, -1, 1)
        nn.init.uniform_(self.normalisation.bias, -0.5, 0.5)

    def forward(self, images: Tensor) -> Tensor:
        """A map of four channels."""
        before = self.stem(images)
        after: Tensor = self.normalisation(self.convolution(before))
        after = before + after if self.adds else after
        return after.relu() if self.rectifies else after


class SmallViT(nn.Module):
    """Patch embedding and encoder blocks of PyTorch's own transformer."""

    def __init__(self, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, width, 4, 4)
        block = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        tokens = self.blocks(self.patches(x).flatten(2).mT)
        logits: Tensor = self.head(self.norm(tokens).mean(1))
        return logits
