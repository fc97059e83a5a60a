"""What can be done to a trained network against noise: ours, the paper's forms, and the usual alternatives.

Each takes the network, a :class:`Supply` of images and a seed, and returns the defended network and what it cost.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from noisewise._rng import place_generator
from noisewise.methods.denoiserep import attach
from noisewise.models.backbones import logits
from noisewise.noise import parse_noise
from noisewise.restore.denoise import shipped_denoiser

__all__ = ["DEFENCES", "VIEWS", "Defended", "Supply", "defences_of"]

VIEWS = ("gaussian:sigma=46",)
"""The noise that every defence which sees noise may see beside clean images: one level of one family."""

_BATCH = 64
_PAPER_T = "depth"
_WELL_CONDITIONED_T = 300
_TUNING_EPOCHS = 2
_CAREFUL = 8.0


@dataclass(frozen=True)
class Supply:
    """What a defence may use.

    Attributes:
        images: training images in [0, 1].
        labels: their classes.
        others: more unlabelled images of the same size.
        preprocess: from pixels to the network's input.
        clean_weight: of paired hardening.
    """

    images: Tensor
    labels: Tensor
    others: Tensor
    preprocess: Callable[[Tensor], Tensor]
    clean_weight: float = 1.0

    def inputs(self, images: Tensor) -> list[Tensor]:
        """Batches as the network takes them."""
        return [self.preprocess(part) for part in torch.split(images, _BATCH)]

    def labelled(self) -> list[tuple[Tensor, Tensor]]:
        """Batches of inputs and labels."""
        return list(zip(self.inputs(self.images), torch.split(self.labels, _BATCH), strict=True))

    def noisy(self, seed: int, *, clean: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of noisy inputs, each image at a level of its own among those of ``VIEWS`` and none, and labels."""
        noises = [*[None] * clean, *map(parse_noise, VIEWS)]
        for start in range(0, len(self.images), _BATCH):
            images = self.images[start : start + _BATCH]
            generator = place_generator(seed, start)
            levels = torch.randint(len(noises), (len(images),), generator=generator).tolist()
            drawn = [
                image if noises[level] is None else noises[level](image, generator=generator)
                for level, image in zip(levels, torch.split(images, 1), strict=True)
            ]
            yield self.preprocess(torch.cat(drawn)), self.labels[start : start + _BATCH]


class Defended(NamedTuple):
    """A network after a defence, with the seconds and the images that went forward to make it."""

    network: nn.Module
    seconds: float
    forward_images: int


Defence = Callable[[nn.Module, Supply, int], Defended]


def timed(defend: Callable[[nn.Module, Supply, int], tuple[nn.Module, int]]) -> Defence:
    def run(network: nn.Module, supply: Supply, seed: int) -> Defended:
        start = time.perf_counter()
        defended, images = defend(network, supply, seed)
        return Defended(defended.eval(), time.perf_counter() - start, images)

    return run


def baseline(network: nn.Module, supply: Supply, seed: int) -> tuple[nn.Module, int]:
    return network, 0


def closed_form(*, merged: bool = False, last_only: bool = False, **options: Any) -> Any:
    def defend(network: nn.Module, supply: Supply, seed: int) -> tuple[nn.Module, int]:
        sets = [supply.images, supply.others] if merged else [supply.images]
        handle = attach(network, **options).fit(*map(supply.inputs, sets))
        chosen = handle.last_only if last_only else handle
        return chosen.fuse(), sum(map(len, sets))

    return defend


def sgd(*, labels: bool) -> Any:
    def defend(network: nn.Module, supply: Supply, seed: int) -> tuple[nn.Module, int]:
        handle = attach(network, t=_PAPER_T)
        handle.fit_sgd(supply.labelled(), task_loss=F.cross_entropy if labels else None, learning_rate=1e-3, seed=seed)
        return handle.fuse(), 2 * len(supply.images)

    return defend


def paired(*, careful: bool, downstream: bool = False) -> Any:
    def defend(network: nn.Module, supply: Supply, seed: int) -> tuple[nn.Module, int]:
        options: dict[str, Any] = {"clean_weight": _CAREFUL if careful else supply.clean_weight}
        options |= {"preprocess": supply.preprocess, "downstream": downstream, "seed": seed}
        handle = attach(network, mode="paired").fit_paired(supply.images, VIEWS, **options)
        return handle.fuse(), (2 + len(VIEWS)) * len(supply.images)

    return defend


def batchnorm(*, clean: bool) -> Any:
    """Statistics of batch normalisation taken anew on noisy images (Schneider et al., NeurIPS 2020)."""

    def defend(network: nn.Module, supply: Supply, seed: int) -> tuple[nn.Module, int]:
        adapted = copy.deepcopy(network)
        update_bn((inputs for inputs, _ in supply.noisy(seed, clean=clean)), adapted)
        return adapted, len(supply.images)

    return defend


def fine_tuned(network: nn.Module, supply: Supply, seed: int) -> tuple[nn.Module, int]:
    """Training goes on with noisy images and their labels: the upper mark, for those who have labels and time."""
    tuned = copy.deepcopy(network).train()
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=1e-4)
    for epoch in range(_TUNING_EPOCHS):
        for inputs, labels in supply.noisy(seed * _TUNING_EPOCHS + epoch):
            optimizer.zero_grad()
            F.cross_entropy(logits(tuned(inputs)), labels).backward()
            optimizer.step()
    return tuned, _TUNING_EPOCHS * len(supply.images)


class _DenoiserInFront(nn.Module):
    """The shipped image denoiser, told nothing, and then the network."""

    def __init__(self, network: nn.Module, supply: Supply) -> None:
        super().__init__()
        self.network, self.preprocess, self.denoiser = network, supply.preprocess, shipped_denoiser()
        probe = supply.preprocess(torch.stack([torch.zeros(3, 1, 1), torch.ones(3, 1, 1)]).expand(-1, -1, 64, 64))
        self.shift, self.scale = probe[:1, :, :1, :1], (probe[1:] - probe[:1])[:, :, :1, :1]  # undo the normalisation

    def forward(self, inputs: Tensor) -> Tensor:
        pixels = (inputs - self.shift) / self.scale
        return logits(self.network(self.preprocess(self.denoiser(pixels).image.clamp(0, 1))))


def denoiser_in_front(network: nn.Module, supply: Supply, seed: int) -> tuple[nn.Module, int]:
    return _DenoiserInFront(network, supply), 0


DEFENCES: dict[str, Defence] = {
    "baseline": timed(baseline),
    "paper_last_only": timed(closed_form(t=_PAPER_T, last_only=True)),
    "paper_one_step": timed(closed_form(t=_PAPER_T)),
    "paper_printed_eq7": timed(closed_form(t=_PAPER_T, paper_eq7=True)),
    "wiener": timed(closed_form(mode="wiener", t=_WELL_CONDITIONED_T)),
    "merged": timed(closed_form(t=_PAPER_T, merged=True)),
    "sgd_label_free": timed(sgd(labels=False)),
    "sgd_label_augmented": timed(sgd(labels=True)),
    "paired": timed(paired(careful=False)),
    "paired_careful": timed(paired(careful=True)),
    "paired_downstream": timed(paired(careful=False, downstream=True)),
    "batchnorm": timed(batchnorm(clean=True)),
    "batchnorm_noisy_only": timed(batchnorm(clean=False)),
    "denoiser_in_front": timed(denoiser_in_front),
    "fine_tuned": timed(fine_tuned),
}


def defences_of(network: nn.Module) -> dict[str, Defence]:
    """Those that do something to ``network``: one without batch normalisation has no statistics to renew.

    What becomes of outputs is looked at by ``downstream.py``.
    """
    normalised = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    left = {name: defend for name, defend in DEFENCES.items() if name != "paired_downstream"}
    return {name: defend for name, defend in left.items() if normalised or not name.startswith("batchnorm")}
