"""Coarse grain that a network leaves: removed at half the resolution, where it looks like fine grain.

Networks know noise whose neighbours differ. In-camera noise reduction and demosaicing leave blotches, and of these a
network takes too little. Half the resolution makes fine noise of them (Lebrun, Colom and Morel, The Noise Clinic, IPOL
2015, who work from coarse to fine). How much of the coarse answer is believed is asked of a rehearsal, for on sharp
photographs it takes texture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from noisewise.contracts import Images
from noisewise.models import BlindDenoiser
from noisewise.restore.level import rehearsed

__all__ = ["choose_share", "coarse_grain"]

_MOST = 0.5
"""Of the coarse grain."""


@torch.inference_mode()
def coarse_grain(model: BlindDenoiser, noisy: Images, clean: Images, *, views: int = 2) -> Images:
    """``up(down(x) - D(down(y)))``: what the network would take from x, its own answer, at half the resolution.

    Args:
        model: the denoiser D.
        noisy: y, ``B x 3 x H x W``.
        clean: x, of the same shape.
        views: that D takes the mean of.
    """
    height, width = noisy.shape[-2:]
    half, halved = (
        F.avg_pool2d(F.pad(image, (0, width % 2, 0, height % 2), "replicate"), 2) for image in (noisy, clean)
    )
    grain = halved - model.restore(half, model.estimate_noise_map(half).float(), views=views)
    return F.interpolate(grain, scale_factor=2.0, mode="bilinear", align_corners=False)[..., :height, :width]


@torch.inference_mode()
def choose_share(model: BlindDenoiser, noisy: Images, factor: float, *, seed: int = 0) -> float:
    """How much of the coarse grain to take away, from 0 to a half, by rehearsal.

    Half of it is taken from the answer, and what is then left over of the image is put on again, re-coloured. The share
    that would have brought the answer back is a least-squares fit, ``<x - t, g> / <g, g>``.

    Args:
        model: the denoiser.
        noisy: a representative crop, ``1 x 3 x H x W``.
        factor: of the network's own level.
        seed: of the rehearsal's noise.
    """
    level = model.estimate_noise_map(noisy).float() * factor
    answer = model.restore(noisy, level)
    truth = (answer - _MOST * coarse_grain(model, noisy, answer)).clamp(0, 1)
    rehearsal = rehearsed(noisy, truth, level, seed)
    again = model.restore(rehearsal, model.estimate_noise_map(rehearsal).float() * factor)
    grain = coarse_grain(model, rehearsal, again)
    share = float(((again - truth) * grain).sum() / grain.square().sum().clamp_min(torch.finfo(grain.dtype).tiny))
    return min(max(share, 0.0), _MOST)
