"""Recipes, the training loop, checkpoints and resuming."""

from noisewise.train.batches import Batch, NoisyPatches
from noisewise.train.recipe import Recipe, Schedule, read_recipe
from noisewise.train.supervised import train_denoiser

__all__ = ["Batch", "NoisyPatches", "Recipe", "Schedule", "read_recipe", "train_denoiser"]
