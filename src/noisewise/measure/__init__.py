"""Tensors in, numbers out: fidelity, noise level, residuals, traces of files, statistics."""

from noisewise.measure.bit_depth import bit_depth
from noisewise.measure.classification import mean_corruption_error, top_k_correct
from noisewise.measure.image import ms_ssim, psnr, ssim
from noisewise.measure.jpeg import JpegGrid, jpeg_grid, jpeg_quality
from noisewise.measure.latency import LatencyRatio, latency_ratio
from noisewise.measure.noise_level import NoiseProfile, noise_profile, white_noise_level
from noisewise.measure.perceptual import frechet_distance, inception_score, lpips
from noisewise.measure.residual import (
    autocorrelation,
    lag1_correlation,
    magnitude_correlation,
    signal_correlation,
    whiteness,
)
from noisewise.measure.retrieval import (
    Labels,
    Retrieval,
    average_precision,
    cmc,
    cosine_distances,
    match_ranks,
    mean_average_precision,
    rank_matches,
)
from noisewise.measure.statistics import (
    Interval,
    bootstrap_mean,
    paired_bootstrap,
    percentile_interval,
    student_interval,
)

__all__ = [
    "Interval",
    "JpegGrid",
    "Labels",
    "LatencyRatio",
    "NoiseProfile",
    "Retrieval",
    "autocorrelation",
    "average_precision",
    "bit_depth",
    "bootstrap_mean",
    "cmc",
    "cosine_distances",
    "frechet_distance",
    "inception_score",
    "jpeg_grid",
    "jpeg_quality",
    "lag1_correlation",
    "latency_ratio",
    "lpips",
    "magnitude_correlation",
    "match_ranks",
    "mean_average_precision",
    "mean_corruption_error",
    "ms_ssim",
    "noise_profile",
    "paired_bootstrap",
    "percentile_interval",
    "psnr",
    "rank_matches",
    "signal_correlation",
    "ssim",
    "student_interval",
    "top_k_correct",
    "white_noise_level",
    "whiteness",
]
