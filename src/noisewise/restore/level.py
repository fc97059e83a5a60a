"""Which noise level to tell the network when nobody knows it: chosen by a rehearsal, without a clean image.

On correlated noise a network's own estimate of the level is its weak point. The rehearsal denoises with the estimate,
takes the residual as a sample of the noise, puts a re-coloured copy of it on the denoised image, and asks which
multiple of the level would have recovered that image best. (A parametric bootstrap; the copy has the spectrum of the
residual, with random phases, and its local strength.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisewise._rng import make_generator
from noisewise.models import BlindDenoiser

__all__ = ["choose_level", "is_missed", "rehearsed", "surrogate_noise"]

CANDIDATES = (0.4, 0.6, 0.8, 1.0, 1.3, 1.7)
_FLOOR = 1e-4
_LOUD, _TIMES = 10 / 255, 2.0


def is_missed(seen: float, found: float) -> bool:
    """Whether a diagnosis sees so much more noise than the network found that this may have taken it for texture.

    It may as well be texture: nothing but a look at the result tells, so that this is a hint and not a rule.

    Args:
        seen: level of the diagnosis, [0, 1] scale.
        found: that of the network.
    """
    return seen >= max(_LOUD, _TIMES * found)


def surrogate_noise(residual: Tensor, local: Tensor, generator: torch.Generator) -> Tensor:
    """Noise with the spectrum and the channel correlation of ``residual / local``, random phases, times ``local``.

    Args:
        residual: ``1 x C x H x W``.
        local: local standard deviation, ``1 x 1 x H x W``, positive.
        generator: of the phases.
    """
    spectrum = torch.fft.rfft2(residual / local)
    white = torch.randn(residual.shape[-2:], generator=generator, device=residual.device, dtype=residual.dtype)
    phases = torch.fft.rfft2(white)
    noise: Tensor = torch.fft.irfft2(spectrum * phases / phases.abs().clamp_min(1e-12), s=residual.shape[-2:])
    return noise * local


def rehearsed(noisy: Tensor, truth: Tensor, noise_map: Tensor, seed: int) -> Tensor:
    """``truth`` with a copy of what ``noisy`` has beyond it, of the local strength that ``noise_map`` says."""
    noise = surrogate_noise(noisy - truth, noise_map.clamp_min(_FLOOR), make_generator(seed, noisy.device))
    return (truth + noise).clamp(0, 1)


@torch.inference_mode()
def choose_level(model: BlindDenoiser, noisy: Tensor, *, seed: int = 0) -> float:
    """The multiple of the model's own noise map that denoises ``noisy`` best, by rehearsal.

    Args:
        model: the denoiser.
        noisy: a representative crop, ``1 x 3 x H x W``.
        seed: of the rehearsal's noise.
    """
    first = model(noisy)
    truth = first.image.clamp(0, 1)
    rehearsal = rehearsed(noisy, truth, first.noise_map, seed)
    estimate = model.estimate_noise_map(rehearsal)
    errors = [(model(rehearsal, estimate * k).image.clamp(0, 1) - truth).square().mean().item() for k in CANDIDATES]
    return CANDIDATES[errors.index(min(errors))]
