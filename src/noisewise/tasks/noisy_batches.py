"""What every task does with a batch: noise that belongs to the place of an image, and a network in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

from noisewise._rng import place_generator
from noisewise.contracts import Images, Noise

__all__ = ["Preprocess", "add_noise", "evaluation_mode"]

Preprocess: TypeAlias = Callable[[Tensor], Tensor]
"""From pixels in [0, 1] to the input of a network."""


def add_noise(images: Images, noise: Noise, seed: int, *, first: int) -> Images:
    """A batch with the noise of its place in the data set, one draw for each image, made where the images lie.

    Args:
        images: ``B x C x H x W`` in [0, 1].
        noise: what corrupts them.
        seed: of the data set.
        first: index of the first image in the data set.
    """
    generators = (place_generator(seed, index, device=images.device) for index in range(first, first + len(images)))
    pairs = zip(torch.split(images, 1), generators, strict=True)
    return torch.cat([noise(image, generator=generator) for image, generator in pairs])


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Each module in evaluation mode, and back in its own afterwards, for parts of a network may be frozen."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
