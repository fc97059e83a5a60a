"""Gain tuning: of a trained denoiser only a factor for every channel of every convolution is fitted to the image.

Source: Mohan et al., Adaptive Denoising via GainTuning, NeurIPS 2021; for the loss Pang et al.,
Recorrupted-to-Recorrupted, CVPR 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.methods.single_image.learner import LEARNERS, Learner
from noisewise.methods.single_image.noise_model import NoiseModel, measure_noise
from noisewise.methods.single_image.observed import Observed
from noisewise.models import BlindDenoiser
from noisewise.models.weights import load_denoiser

__all__ = ["Gain", "GainTuning", "recorrupted"]

_DRAWS = 4


class Gain(nn.Module):
    """A factor for every channel on the first axis of a weight: of the output, or of the input if it is transposed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(channels))

    def forward(self, weight: Tensor) -> Tensor:
        """The same shape, the first axis scaled."""
        return weight * self.factors.view(-1, *[1] * (weight.ndim - 1))


@LEARNERS.register("gain_tuning")
@dataclass(frozen=True)
class GainTuning(Learner):
    """The shipped denoiser, or another :class:`noisewise.models.BlindDenoiser`, with its gains fitted.

    Few parameters, so that one image is enough. What the noise is like is measured in the image's flat parts; what a
    JPEG took away there is not seen. No pixel is held out: draws of the noise that no step saw are the judges.

    Attributes:
        ratio: level of the noise that is added to the input, over that of the image.
        noise: what the image's noise is like; measured if None.
    """

    steps: ClassVar[int] = 120
    rate: ClassVar[float] = 2e-3
    patch: ClassVar[int | None] = 192

    ratio: float = 0.5
    noise: NoiseModel | None = None

    def __post_init__(self) -> None:
        if not self.ratio > 0:
            raise ArgumentError(f"expected a ratio above 0, got {self.ratio}")

    def require(self, network: nn.Module) -> None:
        """Fails unless it is a denoiser that estimates the noise itself."""
        if not isinstance(network, BlindDenoiser):
            raise ArgumentError(f"expected a BlindDenoiser for gain tuning, got {type(network).__name__}")

    def at(self, noisy: Images) -> GainTuning:
        """With what its noise is like."""
        return replace(self, noise=measure_noise(noisy)) if self.noise is None else self

    def build(self, channels: int) -> nn.Module:
        """The shipped denoiser, which takes grey images, too."""
        return load_denoiser()

    def trainable(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """A new factor for each channel of each convolution of the network, whose weights stay as they are."""
        network.requires_grad_(False)
        layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
        gains = [Gain(len(layer.weight)).to(layer.weight) for layer in layers]
        for layer, gain in zip(layers, gains, strict=True):
            parametrize.register_parametrization(layer, "weight", gain)
        return [gain.factors for gain in gains]

    def loss(self, network: nn.Module, observed: Observed, generator: torch.Generator) -> Tensor:
        """``|f(y + a n) - (y - n / a)|^2`` for a draw n of noise like that of y: both noises are uncorrelated."""
        noise = self.noise or measure_noise(observed.noisy)
        noisier, target = recorrupted(observed.noisy, noise, self.ratio, generator)
        return (_denoised(network, noisier) - target).square().mean()

    def error(self, network: nn.Module, observed: Observed, generator: torch.Generator) -> float:
        """The loss for other draws, always the same."""
        losses = [float(self.loss(network, observed, generator)) for _ in range(_DRAWS)]
        return sum(losses) / _DRAWS

    def error_without(self, observed: Observed) -> float:
        """No bar: the network could denoise before."""
        return math.inf

    def estimate(self, network: nn.Module, noisy: Images, generator: torch.Generator, passes: int) -> Images:
        """What the tuned network makes of the image."""
        return _denoised(network, noisy)


def recorrupted(noisy: Images, model: NoiseModel, ratio: float, generator: torch.Generator) -> tuple[Images, Images]:
    """``y + a n`` and ``y - n / a``: the covariance of their noises, ``S - S``, is zero if n has that of y's."""
    noise = model.draw(noisy, generator)
    return noisy + ratio * noise, noisy - noise / ratio


def _denoised(network: Any, noisy: Images) -> Images:
    """Three channels in and out, as the network knows them, whatever the image has."""
    image: Images = network(noisy.expand(-1, 3, -1, -1)).image.float()
    return image if noisy.shape[1] == 3 else image.mean(1, keepdim=True)
