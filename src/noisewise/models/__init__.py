"""Networks, the weights that ship with the package, and the ways in and out for networks of other libraries."""

from noisewise.models.backbones import load_backbone, logits
from noisewise.models.clip import ClipEncoder, load_clip
from noisewise.models.denoiser import BlindDenoiser, Denoised, NoiseMapEstimator, NoiseMapUNet
from noisewise.models.detectors import fasterrcnn_swin_v2_fpn, maskrcnn_swin_v2_fpn
from noisewise.models.preprocess import Preprocess, resolve_preprocess
from noisewise.models.weights import load_denoiser, save_network

__all__ = [
    "BlindDenoiser",
    "ClipEncoder",
    "Denoised",
    "NoiseMapEstimator",
    "NoiseMapUNet",
    "Preprocess",
    "fasterrcnn_swin_v2_fpn",
    "load_backbone",
    "load_clip",
    "load_denoiser",
    "logits",
    "maskrcnn_swin_v2_fpn",
    "resolve_preprocess",
    "save_network",
]
