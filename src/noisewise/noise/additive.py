"""Noises that add to, or multiply, every pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from noisewise.contracts import Images, Moments
from noisewise.noise import functional as N
from noisewise.noise.base import NOISES, ImageNoise, intensity, require

__all__ = [
    "ColorBias",
    "ColumnBanding",
    "Correlated",
    "Gaussian",
    "Poisson",
    "Quantisation",
    "RowBanding",
    "ShotRead",
    "Speckle",
    "Tails",
]

Tails = Literal["gaussian", "student_t", "tukey_lambda"]


@dataclass(frozen=True)
class _Sigma(ImageNoise):
    """Noise of zero mean and standard deviation ``sigma``, whatever the image."""

    sigma: float = intensity(25)

    def __post_init__(self) -> None:
        require(self.sigma >= 0, "sigma >= 0", self.sigma)

    def scaled(self, factor: float) -> Self:
        return replace(self, sigma=self.sigma * factor)

    def moments(self, clean: Images) -> Moments:
        """Mean and variance of each noisy pixel."""
        return Moments(clean, torch.full_like(clean, self.sigma**2))


@NOISES.register("gaussian")
@dataclass(frozen=True)
class Gaussian(_Sigma):
    """White Gaussian noise of standard deviation ``sigma``."""

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.add_gaussian(x, self.sigma, generator)


@NOISES.register("correlated")
@dataclass(frozen=True)
class Correlated(_Sigma):
    """Gaussian noise of standard deviation ``sigma`` that a Gaussian of ``blur`` pixels has smoothed."""

    blur: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.blur >= 0, "blur >= 0", self.blur)

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.add_correlated(x, self.sigma, self.blur, generator)


@NOISES.register("rows")
@dataclass(frozen=True)
class RowBanding(_Sigma):
    """One normal offset of standard deviation ``sigma`` for each row."""

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.add_banding(x, self.sigma, True, generator)


@NOISES.register("columns")
@dataclass(frozen=True)
class ColumnBanding(_Sigma):
    """One normal offset of standard deviation ``sigma`` for each column."""

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.add_banding(x, self.sigma, False, generator)


@NOISES.register("color_bias")
@dataclass(frozen=True)
class ColorBias(_Sigma):
    """One normal offset of standard deviation ``sigma`` for each channel of each image."""

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.add_color_bias(x, self.sigma, generator)


@NOISES.register("speckle")
@dataclass(frozen=True)
class Speckle(ImageNoise):
    """Multiplicative Gaussian noise ``x (1 + level n)``; ``level`` has no unit."""

    level: float = 0.2

    def __post_init__(self) -> None:
        require(self.level >= 0, "level >= 0", self.level)

    def scaled(self, factor: float) -> Self:
        return replace(self, level=self.level * factor)

    def moments(self, clean: Images) -> Moments:
        """Mean and variance of each noisy pixel."""
        return Moments(clean, self.level**2 * clean.square())

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.speckle(x, self.level, generator)


@NOISES.register("quantisation")
@dataclass(frozen=True)
class Quantisation(ImageNoise):
    """Uniform noise as wide as a quantisation ``step``."""

    step: float = intensity(8)

    def __post_init__(self) -> None:
        require(self.step >= 0, "step >= 0", self.step)

    def scaled(self, factor: float) -> Self:
        return replace(self, step=self.step * factor)

    def moments(self, clean: Images) -> Moments:
        """Mean and variance of each noisy pixel."""
        return Moments(clean, torch.full_like(clean, self.step**2 / 12))

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.add_quantisation(x, self.step, generator)


@NOISES.register("poisson")
@dataclass(frozen=True)
class Poisson(ImageNoise):
    """Photon noise: ``gain`` is the pixel value of one electron, so that the variance is ``gain x``."""

    gain: float = intensity(2)

    def __post_init__(self) -> None:
        require(self.gain >= 0, "gain >= 0", self.gain)

    def scaled(self, factor: float) -> Self:
        return replace(self, gain=self.gain * factor**2)

    def moments(self, clean: Images) -> Moments:
        """Mean and variance of each noisy pixel, for ``clean`` >= 0."""
        return Moments(clean, self.gain * clean)

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return N.shot(x, self.gain, generator)


@NOISES.register("shot_read")
@dataclass(frozen=True)
class ShotRead(Poisson):
    """Photon noise of ``gain`` plus read noise of ``sigma`` with the given ``tails`` (thesis, section 7.6)."""

    sigma: float = intensity(5)
    tails: Tails = "gaussian"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.sigma >= 0, "sigma >= 0", self.sigma)
        require(self.tails in get_args(Tails), f"tails from {get_args(Tails)}", self.tails)

    def scaled(self, factor: float) -> Self:
        return replace(self, gain=self.gain * factor**2, sigma=self.sigma * factor)

    def moments(self, clean: Images) -> Moments:
        """Mean and variance of each noisy pixel, for ``clean`` >= 0."""
        return Moments(clean, self.gain * clean + self.sigma**2)

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        read = N.read_tails(self.tails, x.shape, x, generator)
        return N.shot(x, self.gain, generator) + self.sigma * read
