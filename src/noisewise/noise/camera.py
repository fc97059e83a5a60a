"""The chain of a camera: noise on the mosaic of the sensor, developed to a photograph, and saved as a JPEG.

A photograph is taken back to the linear mosaic, gets its noise there, and is developed again by bilinear demosaicing,
white balance, colour matrix and tone curve (after Brooks et al., Unprocessing Images for Learned Raw Denoising, 2019).
Only the *difference* to the noise-free development is added to the photograph, so that no demosaicing error of the
clean image counts as noise and level zero is the identity.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from noisewise.noise import functional as N
from noisewise.noise.base import NOISES, ImageNoise, intensity, require

__all__ = [
    "Camera",
    "Jpeg",
    "bayer_mask",
    "color_matrix",
    "demosaic",
    "jpeg_round_trip",
    "linear_to_srgb",
    "srgb_to_linear",
]


def srgb_to_linear(x: Tensor) -> Tensor:
    """The inverse tone curve of IEC 61966-2-1; values outside [0, 1] are clipped first."""
    x = x.clamp(0, 1)
    return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: Tensor) -> Tensor:
    """The tone curve of IEC 61966-2-1; negative values continue its linear part."""
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def color_matrix(saturation: float, like: Tensor) -> Tensor:
    """Camera to sRGB, ``(1 + s) I - s/3 11^T``: rows sum to one (grey stays grey), s about 0.3-1.2 on real cameras."""
    identity = torch.eye(3, device=like.device, dtype=like.dtype)
    return (1 + saturation) * identity - saturation / 3


def bayer_mask(x: Tensor) -> Tensor:
    """Which of the three colours each site of an RGGB sensor sees: ``1 x 3 x H x W`` of zeros and ones."""
    mask = torch.zeros(1, *x.shape[1:], device=x.device, dtype=x.dtype)
    mask[:, 0, 0::2, 0::2] = 1
    mask[:, 1, 0::2, 1::2] = 1
    mask[:, 1, 1::2, 0::2] = 1
    mask[:, 2, 1::2, 1::2] = 1
    return mask


def demosaic(mosaic: Tensor) -> Tensor:
    """Bilinear interpolation of a masked ``B x 3 x H x W`` mosaic.

    A site at the border averages the neighbours that exist; a colour that no neighbour has seen stays 0.
    """
    cross = torch.tensor([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]])
    square = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    kernels = torch.stack([square, cross, square]).unsqueeze(1).to(mosaic) / 4
    weights = F.conv2d(bayer_mask(mosaic), kernels, padding=1, groups=3)
    return F.conv2d(mosaic, kernels, padding=1, groups=3) / weights.clamp_min(0.25)  # 1/4 is the least of one neighbour


def jpeg_round_trip(x: Tensor, quality: int) -> Tensor:
    """One image ``C x H x W`` through a JPEG file of ``quality`` (4:2:0 colour below 90, 4:4:4 from there on)."""
    pixels = N.round_to_8_bits(x).mul(255).to("cpu", torch.uint8).movedim(0, -1).squeeze(-1).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2 if quality < 90 else 0)
    decoded = np.asarray(Image.open(buffer)).reshape(*x.shape[1:], x.shape[0])
    return torch.from_numpy(decoded.copy()).movedim(-1, 0).to(x) / 255


@NOISES.register("camera")
@dataclass(frozen=True)
class Camera(ImageNoise):
    """Shot and read noise on the sensor, developed to sRGB; spatially and spectrally correlated.

    Attributes:
        gain: variance of the shot noise per unit of linear signal (electron size on the sensor's [0, 1] scale).
        sigma: standard deviation of the read noise on the linear mosaic.
        red: white-balance gain of red; blue: of blue.
        saturation: strength of the colour matrix.
        blur: smoothing in the camera, standard deviation in pixels.
        chroma: share of the colour noise that the camera leaves; its noise reduction spares brightness more.
    """

    gain: float = intensity(0.5)
    sigma: float = intensity(0.5)
    red: float = 2.0
    blue: float = 1.7
    saturation: float = 0.7
    blur: float = 0.0
    chroma: float = 1.0

    def __post_init__(self) -> None:
        levels = (self.gain, self.sigma, self.saturation, self.blur)
        require(all(level >= 0 for level in levels), "gain, sigma, saturation and blur >= 0", self)
        require(0 <= self.chroma <= 1, "chroma in [0, 1]", self)
        require(self.red > 0 and self.blue > 0, "positive white-balance gains", self)

    def scaled(self, factor: float) -> Self:
        return replace(self, gain=self.gain * factor**2, sigma=self.sigma * factor)

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        require(x.shape[1] in (1, 3), "1 or 3 channels for a camera", x.shape[1])
        scene = self._to_sensor(x.expand(-1, 3, -1, -1))
        exposed = N.add_gaussian(N.shot(scene, self.gain, generator), self.sigma, generator)
        noise = self._subdue_color(self._smooth(self._develop(exposed, scene) - self._develop(scene, scene)))
        return x + (noise if x.shape[1] == 3 else noise[:, 1:2])

    def _white_balance(self, like: Tensor) -> Tensor:
        return torch.tensor([self.red, 1.0, self.blue], device=like.device, dtype=like.dtype).view(1, 3, 1, 1)

    def _to_sensor(self, photograph: Tensor) -> Tensor:
        inverse = torch.linalg.inv(color_matrix(self.saturation, photograph))
        camera_rgb = torch.einsum("ij,bjhw->bihw", inverse, srgb_to_linear(photograph))
        return (camera_rgb / self._white_balance(photograph)).clamp_min(0)  # no sensor counts fewer than no photons

    def _develop(self, sensor: Tensor, scene: Tensor) -> Tensor:
        noise = demosaic(bayer_mask(sensor) * (sensor - scene))
        balanced = (scene + noise) * self._white_balance(sensor)
        return linear_to_srgb(torch.einsum("ij,bjhw->bihw", color_matrix(self.saturation, sensor), balanced))

    def _subdue_color(self, noise: Tensor) -> Tensor:
        luma = torch.tensor([0.299, 0.587, 0.114], device=noise.device, dtype=noise.dtype)  # BT.601, as in a JPEG
        return torch.lerp(torch.einsum("c,bchw->bhw", luma, noise).unsqueeze(1), noise, self.chroma)

    def _smooth(self, noise: Tensor) -> Tensor:
        if self.blur == 0:
            return noise
        kernel = N.gaussian_kernel(self.blur, noise)
        pad = kernel.numel() // 2
        padded = F.pad(noise, (pad,) * 4, mode="replicate").flatten(0, 1).unsqueeze(1)
        return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1)).view_as(noise)


@NOISES.register("jpeg")
@dataclass(frozen=True)
class Jpeg(ImageNoise):
    """A JPEG file of ``quality``; the level is ``100 - quality``, and quality 100 means no file at all."""

    quality: float = 80

    def __post_init__(self) -> None:
        require(1 <= self.quality <= 100, "quality from 1 to 100", self.quality)

    def scaled(self, factor: float) -> Self:
        return replace(self, quality=max(1.0, 100 - (100 - self.quality) * factor))

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        quality = round(self.quality)
        require(x.shape[1] in (1, 3), "1 or 3 channels for JPEG", x.shape[1])
        return x if quality == 100 else torch.stack([jpeg_round_trip(image, quality) for image in x])
