"""Noisy Visual Training (MSc thesis, Birmingham; later MeD, ICCV 2023): modules for any encoder-decoder."""

from noisewise.methods.nvt.disentangling import Disentangling, Reconstructions, disentangling_loss
from noisewise.methods.nvt.information import InformationBounds, InformationCritics
from noisewise.methods.nvt.losses import LOSSES, latent_kl, latent_l1, perceptual
from noisewise.methods.nvt.noisy_only import NOISY_ONLY, NoisyCrops, train_noisy_only
from noisewise.methods.nvt.pool import POOL, thesis_noise
from noisewise.methods.nvt.pretraining import Modules, pretrain
from noisewise.methods.nvt.pyramid import Pyramid, masked_pool, pyramid_loss
from noisewise.methods.nvt.recipe import PretrainingRecipe, load_pretrained, read_pretraining_recipe
from noisewise.methods.nvt.unsharp import UnsharpMask, choose_unsharp_mask
from noisewise.methods.nvt.views import NoisyViews, Views

__all__ = [
    "LOSSES",
    "NOISY_ONLY",
    "POOL",
    "Disentangling",
    "InformationBounds",
    "InformationCritics",
    "Modules",
    "NoisyCrops",
    "NoisyViews",
    "PretrainingRecipe",
    "Pyramid",
    "Reconstructions",
    "UnsharpMask",
    "Views",
    "choose_unsharp_mask",
    "disentangling_loss",
    "latent_kl",
    "latent_l1",
    "load_pretrained",
    "masked_pool",
    "perceptual",
    "pretrain",
    "pyramid_loss",
    "read_pretraining_recipe",
    "thesis_noise",
    "train_noisy_only",
]
