"""Tensors in, numbers out: fidelity, noise level, residuals, traces of files, statistics."""

from noisewise.measure.bit_depth import bit_depth
from noisewise.measure.image import psnr, ssim
from noisewise.measure.jpeg import JpegGrid, jpeg_grid, jpeg_quality
from noisewise.measure.noise_level import NoiseProfile, noise_profile, white_noise_level
from noisewise.measure.residual import (
    autocorrelation,
    lag1_correlation,
    magnitude_correlation,
    signal_correlation,
    whiteness,
)
from noisewise.measure.statistics import Interval, bootstrap_mean, paired_bootstrap

__all__ = [
    "Interval",
    "JpegGrid",
    "NoiseProfile",
    "autocorrelation",
    "bit_depth",
    "bootstrap_mean",
    "jpeg_grid",
    "jpeg_quality",
    "lag1_correlation",
    "magnitude_correlation",
    "noise_profile",
    "paired_bootstrap",
    "psnr",
    "signal_correlation",
    "ssim",
    "white_noise_level",
    "whiteness",
]
