"""Explicit randomness: every random function of noisewise takes a generator made here or by the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch

__all__ = ["child_generator", "global_generators_at", "initialised", "make_generator", "place_generator"]

T = TypeVar("T")

_PROCESSOR = torch.device("cpu")

_SEED_BITS = 2**63 - 1


def make_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on ``device`` that starts from ``seed``."""
    return torch.Generator(device=device).manual_seed(seed)


def place_generator(seed: int, *place: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one place, such as an image of a data set, the same in whatever batch it comes.

    Seed and place are hashed together, so that neighbouring seeds share nothing.
    """
    state = np.random.SeedSequence((seed % 2**64, *place)).generate_state(1, np.uint64)
    return make_generator(int(state[0]), device)


def child_generator(parent: torch.Generator) -> torch.Generator:
    """A new generator on the same device, seeded by one draw from ``parent``.

    Lets a consumer of unknown appetite draw as much as it likes without shifting what its siblings see.
    """
    seed = torch.randint(_SEED_BITS, (1,), generator=parent, device=parent.device).item()
    return make_generator(int(seed), parent.device)


@contextmanager
def global_generators_at(seed: int, device: torch.device = _PROCESSOR) -> Iterator[None]:
    """Within it torch's own generators of the processor and of ``device`` start from ``seed``; they come out as before.

    For what takes no generator, as torch's initialisers and torchvision's transforms and detectors do.
    """
    gpus = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        # torch.manual_seed would seed all of the caller's GPUs
        for generator in [torch.default_generator, *(torch.cuda.default_generators[gpu] for gpu in gpus)]:
            generator.manual_seed(seed)
        yield


def initialised(build: Callable[[], T], seed: int) -> T:
    """What ``build`` makes when torch's initialisers start from ``seed``; the global random state is left alone."""
    with global_generators_at(seed):
        return build()
