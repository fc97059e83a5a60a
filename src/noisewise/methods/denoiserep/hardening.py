"""A trained network and files of unlabelled images in, a hardened network out, with what it is worth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from noisewise._rng import make_generator
from noisewise.contracts import Images, Shares
from noisewise.data.resized import ResizedImages
from noisewise.methods.denoiserep.attach import attach
from noisewise.methods.denoiserep.handle import LayerRow
from noisewise.models.backbones import logits
from noisewise.models.preprocess import Preprocess, network_input
from noisewise.noise import parse_noise
from noisewise.surgery import activation_bytes, free_bytes

__all__ = ["MOST_IMAGES", "Hardened", "harden", "images_that_fit"]

MOST_IMAGES = 640
"""To harden with, where nobody says how many; more of them change little."""

_KEPT_APART, _MOST_KEPT_APART = 0.2, 128
_TOGETHER = 32


@dataclass(frozen=True, eq=False)
class Hardened:
    """The result of :func:`harden`.

    Attributes:
        network: the hardened one, of the same layers.
        layers: what was done to each, or why not.
        images: number of those it was fitted on.
        kept_apart: number of others, which agreement was measured on.
        before: percentage of the noisy images, or of their pixels, that got the answer of the clean ones before;
            None of a detector, whose answers for two images are no pairs.
        after: the same now.
        seconds: that the fit took.
    """

    network: nn.Module
    layers: tuple[LayerRow, ...]
    images: int
    kept_apart: int
    before: float | None
    after: float | None
    seconds: float


def harden(
    network: nn.Module,
    images: Images | ResizedImages,
    noise: Sequence[str],
    preprocess: Preprocess,
    *,
    targets: str = "auto",
    progress: Shares = lambda done, total: None,
    **options: Any,
) -> Hardened:
    """Fit every layer on pairs of clean and noisy views; a fifth of the images, at most 128, measures agreement.

    Args:
        network: a trained one in evaluation mode; left as it is.
        images: ``N x 3 x H x W`` in [0, 1], or files of them, in random order, at least two.
        noise: specifications of what to harden against, each of which gives a view of every image.
        preprocess: maps pixels to the network's input.
        targets: as for :func:`noisewise.methods.denoiserep.attach`.
        progress: called with the number of layers done and in all.
        options: of :meth:`noisewise.methods.denoiserep.Paired.fit_paired`.

    Raises:
        ArgumentError: no such noise, or a setting that cannot be used.
        SurgeryError: no layer can be handled, or the network gives values that are not finite.
    """
    kept_apart = min(max(1, round(_KEPT_APART * len(images))), _MOST_KEPT_APART)
    apart = images[:kept_apart]
    pixels = apart.load() if isinstance(apart, ResizedImages) else apart
    start = time.perf_counter()
    handle = attach(network, targets, mode="paired")
    handle.fit_paired(images[kept_apart:], list(noise), preprocess=preprocess, progress=progress, **options)
    seconds = time.perf_counter() - start
    hardened = handle.fuse(check=network_input(network, pixels[:2], preprocess))
    before, after = (_agreement(net, network, pixels, noise, preprocess) for net in (network, hardened))
    rows = tuple(handle.table())
    return Hardened(hardened, rows, len(images) - kept_apart, kept_apart, before, after, seconds)


def images_that_fit(network: nn.Module, preprocess: Preprocess, sides: tuple[int, int], *, views: int) -> int:
    """How many images can pass at once, at a guess of twice the largest layer for what lives beside it."""
    one = activation_bytes(network, network_input(network, torch.rand(1, 3, *sides), preprocess))
    fitting = free_bytes(torch.device("cpu")) // (3 * views * one)
    return max(2, min(MOST_IMAGES, fitting))


def _agreement(
    network: nn.Module, reference: nn.Module, pixels: Tensor, noise: Sequence[str], preprocess: Preprocess
) -> float | None:
    """Share of noisy images, or of their pixels, in percent, with the answer of the reference for the clean ones."""
    with torch.inference_mode():
        first = network(network_input(network, pixels[:1], preprocess))
        if isinstance(first, list) or hasattr(first, "pred_boxes"):
            return None
        noisy = torch.cat([parse_noise(spec)(pixels, generator=make_generator(1)) for spec in noise])
        clean = torch.cat([_answers(reference, pixels, preprocess)] * len(noise))
        kept = _answers(network, noisy, preprocess) == clean
    return round(100 * float(kept.float().mean()), 1)


def _answers(network: nn.Module, images: Tensor, preprocess: Preprocess) -> Tensor:
    inputs = (network_input(network, part, preprocess) for part in torch.split(images, _TOGETHER))
    return torch.cat([logits(network(part)).argmax(1).cpu() for part in inputs])
