"""Noise like that of an image, drawn anew: coloured, and stronger or weaker with the light, as its flat parts show."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from noisewise.contracts import Images
from noisewise.measure.noise_level import fit_variance_line, flat_spectra
from noisewise.noise import functional as N

__all__ = ["NoiseModel", "measure_noise"]

_OPPONENT = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
"""Brightness and two colours, orthogonal (Dabov et al., IEEE TIP 2007); the rows are normalised before use."""
_LEAST_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Gaussian noise, stationary but for its dependence on the light.

    Attributes:
        spectra: power at the frequencies of an 8 x 8 DCT, of brightness and, in a colour image, of both colours.
        intercept: of the line ``variance = intercept + slope * brightness`` of the brightness' noise.
        slope: of the same line.
    """

    spectra: Float[Tensor, "channels 8 8"]
    intercept: Tensor
    slope: Tensor

    @classmethod
    def white(cls, sigma: float, channels: int) -> NoiseModel:
        """Independent noise of one level, [0, 1] scale, whatever the light."""
        spectra = torch.full((channels, 8, 8), sigma**2)
        return cls(spectra, spectra.new_tensor(sigma**2), spectra.new_zeros(()))

    def draw(self, clean: Images, generator: torch.Generator) -> Images:
        """A draw for an image whose clean version is about ``clean``; only the noise is returned."""
        white = N.standard_normal(clean.shape, clean, generator)
        size = clean.shape[-2:]
        power = _on_fourier_grid(self.spectra, size).to(clean)
        coloured = torch.fft.ifft2(torch.fft.fft2(white) * power.sqrt()).real
        return _from_opponent(coloured) * self._relative_level(clean)

    def _relative_level(self, clean: Images) -> Tensor:
        mean = self.spectra[0].mean()
        variance = self.intercept + self.slope * clean.mean(1, keepdim=True)
        return (variance / mean.clamp_min(torch.finfo(clean.dtype).tiny)).clamp_min(_LEAST_SHARE).sqrt()


def measure_noise(noisy: Images) -> NoiseModel:
    """The noise of one image ``1 x C x H x W``, as far as :func:`noisewise.measure.noise_profile` can see it."""
    brightness, *colours = torch.split(_to_opponent(noisy)[0], 1)
    clipped = ((noisy == 0) | (noisy == 1))[0].any(0, keepdim=True)
    scale = noisy.shape[1] ** -0.5  # the brightness axis has unit length: white is sqrt(C) there
    means, spectra = flat_spectra(brightness, clipped)
    intercept, slope, weights = fit_variance_line(means * scale, spectra.mean((1, 2)))
    shapes = [(weights[:, None, None] * spectra).sum(0), *(_plain_spectrum(colour, clipped) for colour in colours)]
    return NoiseModel(torch.stack(shapes), intercept, slope)


def _plain_spectrum(channel: Tensor, clipped: Tensor) -> Tensor:
    means, spectra = flat_spectra(channel, clipped)
    _, _, weights = fit_variance_line(means, spectra.mean((1, 2)))
    return (weights[:, None, None] * spectra).sum(0)


def _on_fourier_grid(spectra: Tensor, size: torch.Size) -> Tensor:
    """Power at Fourier frequencies, of the same mean; DCT index u is at ``u / 16`` cycles a pixel."""
    vertical, horizontal = ((16 * torch.fft.fftfreq(side).abs()).clamp_max(7) / 3.5 - 1 for side in size)
    grid = torch.stack(torch.meshgrid(horizontal, vertical, indexing="xy"), dim=-1)
    power = F.grid_sample(spectra[None].cpu(), grid[None], align_corners=True)[0]
    means = [x.mean((1, 2), keepdim=True) for x in (spectra.cpu(), power)]
    return power * (means[0] / means[1].clamp_min(torch.finfo(power.dtype).tiny))


def _axes(like: Images) -> Tensor:
    return F.normalize(like.new_tensor(_OPPONENT), dim=1)


def _to_opponent(images: Images) -> Images:
    return images if images.shape[1] == 1 else torch.einsum("ij,bjhw->bihw", _axes(images), images)


def _from_opponent(images: Images) -> Images:
    return images if images.shape[1] == 1 else torch.einsum("ji,bjhw->bihw", _axes(images), images)
