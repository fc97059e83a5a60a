"""Recipes: one TOML file says everything about a training run but where the photographs are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from noisewise.errors import ArgumentError
from noisewise.models import BlindDenoiser
from noisewise.noise import EightBit, ImageNoise, OneOf, parse_noise

__all__ = ["Recipe", "Schedule", "noise_pool", "read_recipe", "recipe_tables", "told_of_recipe"]

_UNKNOWN = re.compile(r"(\w+\.__init__\(\) )?got an unexpected keyword argument")


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, on what size of batch; the fields are explained in the recipe file."""

    steps: int
    batch: int
    patch: int
    learning_rate: float
    warmup: int
    decay: float
    ema: float

    def __post_init__(self) -> None:
        if not all(isinstance(count, int) and count > 0 for count in (self.steps, self.batch, self.patch)):
            raise ArgumentError("expected steps, batch and patch to be whole numbers of at least 1")

    def rate(self, step: int) -> float:
        """The learning rate at ``step``: linear rise, constant, linear fall to zero over the last share ``decay``."""
        rise = (step + 1) / max(1, self.warmup)
        fall = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.learning_rate * max(0.0, min(1.0, rise, fall))


@dataclass(frozen=True)
class Recipe:
    """A network, the noise it must remove, and the schedule.

    ``enlarged``, ``grey`` and ``eight_bit`` are shares of the patches: those enlarged, grey, and saved with 8 bits.
    """

    model: dict[str, Any]
    schedule: Schedule
    noise: ImageNoise
    enlarged: float
    grey: float
    eight_bit: float

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("enlarged", "grey", "eight_bit")}
        if not all(0 <= share <= 1 for share in shares.values()):
            raise ArgumentError(f"expected shares of patches in [0, 1], got {shares}")


def recipe_tables(source: str | Path) -> dict[str, Any]:
    """The tables of a recipe that ships with the package, by name, or of one from a file.

    Raises:
        ArgumentError: no such recipe, or it is no TOML.
    """
    shipped = files("noisewise.train") / "recipes" / f"{source}.toml"
    path = Path(source)
    if not shipped.is_file() and not path.is_file():
        raise ArgumentError(
            f"expected the name of a shipped recipe or a .toml file, got {str(source)!r}; try 'denoiser', or a path "
            "such as recipes/nrl_add.toml"
        )
    with told_of_recipe(source):
        return tomllib.loads(shipped.read_text() if shipped.is_file() else path.read_text())


@contextmanager
def told_of_recipe(source: str | Path, example: str = "the shipped 'denoiser'") -> Iterator[None]:
    """Within it, a recipe that lacks a part, or has one too many, is told in one line, with one to compare it with."""
    try:
        yield
    except ArgumentError as error:
        raise ArgumentError(f"the recipe {source}: {error}") from error
    except (ValueError, LookupError, TypeError, RuntimeError) as error:
        found = _UNKNOWN.sub("there is no entry", str(error))
        raise ArgumentError(f"the recipe {source} does not fit: {found}; compare it with {example}") from error


def read_recipe(source: str | Path) -> Recipe:
    """A recipe that ships with the package, by name, or one from a file.

    Raises:
        ArgumentError: no such recipe, or it lacks a part or has one too many.
    """
    tables = recipe_tables(source)
    with told_of_recipe(source):
        shares = {name: float(share) for name, share in tables["patches"].items()}
        with torch.device("meta"):  # a network that cannot be built fails now, and costs nothing
            BlindDenoiser(**tables["model"])
        return Recipe(tables["model"], Schedule(**tables["schedule"]), noise_pool(tables["noise"]["pool"]), **shares)


def noise_pool(pool: Sequence[tuple[float, str]]) -> OneOf:
    """One of the kinds for each image, from pairs of a weight and a specification.

    Raises:
        ArgumentError: there is none, or a weight or a specification that cannot be.
    """
    if not pool:
        raise ArgumentError("expected at least one kind of noise in the pool, got none")
    weights, specs = zip(*pool, strict=True)
    return OneOf(tuple(parse_noise(spec) for spec in specs), tuple(weights))


def eight_bit_share(share: float) -> ImageNoise:
    """Rounds that share of the images to 8 bits and leaves the others."""
    return OneOf((EightBit(), EightBit(0.0)), (share, 1 - share))
