"""Networks, and the weights that ship with the package."""

from noisewise.models.denoiser import BlindDenoiser, Denoised, NoiseMapEstimator, NoiseMapUNet
from noisewise.models.weights import load_denoiser, save_denoiser

__all__ = ["BlindDenoiser", "Denoised", "NoiseMapEstimator", "NoiseMapUNet", "load_denoiser", "save_denoiser"]
