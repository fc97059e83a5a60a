"""Denoisers that learn from the one noisy image at hand, judged by pixels of it that they never saw."""

from noisewise.methods.single_image.deep_image_prior import DeepImagePrior
from noisewise.methods.single_image.fitting import Budget, Fitted, fit_image
from noisewise.methods.single_image.gain_tuning import GainTuning
from noisewise.methods.single_image.grey import OnGrey
from noisewise.methods.single_image.learner import LEARNERS, Learner
from noisewise.methods.single_image.noise_model import NoiseModel, measure_noise
from noisewise.methods.single_image.noisier2noise import Noisier2Noise
from noisewise.methods.single_image.observed import Observed, hold_out
from noisewise.methods.single_image.self2self import Self2Self
from noisewise.methods.single_image.zero_shot import ZeroShotNoise2Noise

__all__ = [
    "LEARNERS",
    "Budget",
    "DeepImagePrior",
    "Fitted",
    "GainTuning",
    "Learner",
    "NoiseModel",
    "Noisier2Noise",
    "Observed",
    "OnGrey",
    "Self2Self",
    "ZeroShotNoise2Noise",
    "fit_image",
    "hold_out",
    "measure_noise",
]
