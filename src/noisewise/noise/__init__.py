"""Clean batch in, noisy batch out: every image noise, compositions, random levels, and their textual form."""

from noisewise.noise.additive import (
    ColorBias,
    ColumnBanding,
    Correlated,
    Gaussian,
    Poisson,
    Quantisation,
    RowBanding,
    ShotRead,
    Speckle,
)
from noisewise.noise.base import NOISES, ImageNoise
from noisewise.noise.camera import Camera, Jpeg
from noisewise.noise.compose import Chain, EightBit, OneOf, RandomLevels
from noisewise.noise.impulse import SaltAndPepper
from noisewise.noise.spec import parse_noise

__all__ = [
    "NOISES",
    "Camera",
    "Chain",
    "ColorBias",
    "ColumnBanding",
    "Correlated",
    "EightBit",
    "Gaussian",
    "ImageNoise",
    "Jpeg",
    "OneOf",
    "Poisson",
    "Quantisation",
    "RandomLevels",
    "RowBanding",
    "SaltAndPepper",
    "ShotRead",
    "Speckle",
    "parse_noise",
]
