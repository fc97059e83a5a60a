"""Clean in, noisy out: every noise of images and of features, compositions, random levels, and their textual form."""

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
from noisewise.noise.features import (
    FEATURE_NOISES,
    FeatureGaussian,
    FeatureNoise,
    FeatureSaltAndPepper,
)
from noisewise.noise.grouped import Grouped
from noisewise.noise.impulse import SaltAndPepper
from noisewise.noise.linear import CircularShift, LinearNoise, LinearTransform, OptimalQ, violated_constraints
from noisewise.noise.spec import parse_feature_noise, parse_noise

__all__ = [
    "FEATURE_NOISES",
    "NOISES",
    "Camera",
    "Chain",
    "CircularShift",
    "ColorBias",
    "ColumnBanding",
    "Correlated",
    "EightBit",
    "FeatureGaussian",
    "FeatureNoise",
    "FeatureSaltAndPepper",
    "Gaussian",
    "Grouped",
    "ImageNoise",
    "Jpeg",
    "LinearNoise",
    "LinearTransform",
    "OneOf",
    "OptimalQ",
    "Poisson",
    "Quantisation",
    "RandomLevels",
    "RowBanding",
    "SaltAndPepper",
    "ShotRead",
    "Speckle",
    "parse_feature_noise",
    "parse_noise",
    "violated_constraints",
]
