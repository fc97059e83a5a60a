"""DenoiseRep (Xu et al., NeurIPS 2024): denoise the features of a trained network with its own weights.

``attach`` chooses layers and a mode and returns a handle: fit it, call it like the network, fuse it into ordinary
weights.
"""

from noisewise.methods.denoiserep.attach import MODES, attach
from noisewise.methods.denoiserep.branched import Branched
from noisewise.methods.denoiserep.handle import Handle, LayerRow
from noisewise.methods.denoiserep.hardening import MOST_IMAGES, Hardened, harden, images_that_fit
from noisewise.methods.denoiserep.paired import Paired
from noisewise.methods.denoiserep.schedule import SCHEDULES, Schedule
from noisewise.methods.denoiserep.sgd import SgdFit

__all__ = [
    "MODES",
    "MOST_IMAGES",
    "SCHEDULES",
    "Branched",
    "Handle",
    "Hardened",
    "LayerRow",
    "Paired",
    "Schedule",
    "SgdFit",
    "attach",
    "harden",
    "images_that_fit",
]
