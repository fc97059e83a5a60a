"""The blind denoiser: one network estimates the noise level of every place, another removes noise of that level."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisewise.errors import ArgumentError
from noisewise.models.blocks import residual_stage

__all__ = ["BlindDenoiser", "Denoised", "NoiseMapEstimator", "NoiseMapUNet"]

_VIEWS = ((0, False), (2, False), (0, True), (2, True), (1, False), (3, False), (1, True), (3, True))
"""Quarter turns and whether mirrored before."""


class Denoised(NamedTuple):
    """What the blind denoiser returns."""

    image: Tensor
    """The clean estimate, ``B x 3 x H x W``, not clipped."""
    noise_map: Tensor
    """The standard deviation of the noise that was assumed at each pixel, ``B x 1 x H x W``, [0, 1] scale."""


class NoiseMapEstimator(nn.Module):
    """Noisy image in, local standard deviation of its noise out (after CBDNet, Guo et al., CVPR 2019).

    Args:
        width: channels of the hidden layers.
    """

    stride = 8

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(12, width, 3, padding=1), nn.ReLU()]
        for stride in (1, 2, 2, 1):
            layers += [nn.Conv2d(width, width, 3, stride=stride, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, noisy: Tensor) -> Tensor:
        """``B x 3 x H x W`` to a non-negative ``B x 1 x H x W``; H and W are multiples of 8."""
        coarse = F.softplus(self.layers(noisy).float() - 2.0) / 4  # starts near 0.03, a common noise level
        return F.interpolate(coarse, scale_factor=self.stride, mode="bilinear", align_corners=False)


class NoiseMapUNet(nn.Module):
    """Noisy image and noise map in, clean image out: a residual U-Net that starts at half resolution.

    Pixel-unshuffling as in FFDNet (Zhang et al. 2018), residual stages as in DRUNet (Zhang et al. 2021), with a map
    instead of a constant for the level.

    Args:
        widths: channels at 1/2, 1/4, ... of the resolution.
        blocks: residual blocks of each of these stages, in the encoder and again in the decoder (the last has none).
    """

    def __init__(self, widths: tuple[int, ...] = (64, 96, 128), blocks: tuple[int, ...] = (2, 2, 4)) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.head = nn.Conv2d(16, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(residual_stage(w, n) for w, n in zip(widths, blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.decoders = nn.ModuleList(residual_stage(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True))
        self.tail = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.get_parameter("bias"))

    def forward(self, noisy: Tensor, noise_map: Tensor) -> Tensor:
        """``B x 3 x H x W`` and ``B x 1 x H x W`` to ``B x 3 x H x W``; sides are multiples of ``2 ** len(widths)``."""
        x = self.head(F.pixel_unshuffle(torch.cat([noisy, noise_map], dim=1), 2))
        skips = [x]
        for index, encoder in enumerate(self.encoders):
            x = encoder(x)
            if index < len(self.downs):
                skips.append(x)
                x = self.downs[index](x)
        for index in reversed(range(len(self.decoders))):
            x = self.decoders[index](self.ups[index](x) + skips.pop())
        return noisy + F.pixel_shuffle(self.tail(x + skips.pop()), 2).to(noisy.dtype)


class BlindDenoiser(nn.Module):
    """Removes noise of a level that it estimates itself or is told.

    Args:
        widths: channels of the U-Net's stages.
        blocks: residual blocks of the U-Net's stages.
        estimator_width: channels of the estimator of the noise map.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 96, 128),
        blocks: tuple[int, ...] = (2, 2, 4),
        estimator_width: int = 32,
    ) -> None:
        super().__init__()
        self.stride = max(NoiseMapEstimator.stride, 2 ** len(widths))
        self.estimator = NoiseMapEstimator(estimator_width)
        self.unet = NoiseMapUNet(tuple(widths), tuple(blocks))

    def forward(self, noisy: Tensor, noise_map: Tensor | None = None) -> Denoised:
        """Denoise a batch of any size of image.

        Args:
            noisy: ``B x 3 x H x W``, RGB in [0, 1] or beyond where the noise went.
            noise_map: standard deviation at each pixel, ``B x 1 x H x W`` or broadcastable to it; estimated if None.
        """
        height, width = noisy.shape[-2:]
        padded = self._pad(noisy)
        if noise_map is None:
            noise_map = self.estimator(padded)
        else:
            noise_map = self._pad(noise_map.expand(len(noisy), 1, height, width).to(noisy.dtype))
        image = self.unet(padded, noise_map)
        return Denoised(image[..., :height, :width], noise_map[..., :height, :width])

    def restore(self, noisy: Tensor, noise_map: Tensor, *, views: int = 2) -> Tensor:
        """The mean of what the network makes of turned and mirrored views of a batch.

        The geometric self-ensemble of Timofte et al. (CVPR 2016, section 3.5).

        Args:
            noisy: as for `forward`.
            noise_map: as for `forward`.
            views: the first so many of eight; the second is turned by 180 degrees.

        Returns:
            ``B x 3 x H x W``.

        Raises:
            ArgumentError: fewer than one view, or more than eight.
        """
        if not 1 <= views <= len(_VIEWS):
            raise ArgumentError(f"expected from 1 to {len(_VIEWS)} views, got {views}")
        height, width = noisy.shape[-2:]
        told = noise_map.expand(len(noisy), 1, height, width).to(noisy.dtype)
        # padded before it is turned, so that the strides meet the same pixels in a tile and in the whole image
        padded, levels = self._pad(noisy), self._pad(told)
        total = torch.zeros_like(padded)
        for turns, mirrored in _VIEWS[:views]:
            seen = self.unet(_view(padded, turns, mirrored), _view(levels, turns, mirrored))
            total += _back(seen, turns, mirrored)
        return (total / len(_VIEWS[:views]))[..., :height, :width]

    def estimate_noise_map(self, noisy: Tensor) -> Tensor:
        """The noise map alone, ``B x 1 x H x W``."""
        estimate: Tensor = self.estimator(self._pad(noisy))
        return estimate[..., : noisy.shape[-2], : noisy.shape[-1]]

    def _pad(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        right, bottom = -width % self.stride, -height % self.stride
        # Reflection needs more pixels than it pads; a tiny image repeats its border instead.
        mode = "reflect" if min(height, width) > self.stride else "replicate"
        return F.pad(x, (0, right, 0, bottom), mode=mode) if right or bottom else x


def _view(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    return torch.rot90(x.flip(-1) if mirrored else x, turns, (-2, -1))


def _back(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    straight = torch.rot90(x, -turns, (-2, -1))
    return straight.flip(-1) if mirrored else straight
