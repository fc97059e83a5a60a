"""Recipes of pre-training: one TOML file says which modules take part, on what noise and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noisewise.contracts import Shares
from noisewise.data.patches import PatchSampler
from noisewise.errors import ArgumentError
from noisewise.methods.nvt.pool import thesis_noise
from noisewise.methods.nvt.pretraining import Modules, Pupil, pretrain
from noisewise.methods.nvt.views import NoisyViews
from noisewise.models.weights import load_network, save_network
from noisewise.noise import ImageNoise
from noisewise.train import Schedule
from noisewise.train.loop import Progress
from noisewise.train.recipe import noise_pool, recipe_tables, told_of_recipe

__all__ = ["PretrainingRecipe", "load_pretrained", "read_pretraining_recipe"]


@dataclass(frozen=True)
class PretrainingRecipe:
    """A network with its modules, the noise, and the schedule.

    Attributes:
        modules: which take part.
        widths: channels of the network's levels, finest first.
        schedule: how long, how fast, on what size of batch.
        noise: drawn twice for every patch.
        mixup: share of the patches that are mixed with another one.
    """

    modules: Modules
    widths: tuple[int, ...]
    schedule: Schedule
    noise: ImageNoise
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if not self.widths:
            raise ArgumentError("expected the width of at least one level, got none")
        if not isinstance(self.mixup, int | float) or not 0 <= self.mixup <= 1:
            raise ArgumentError(f"expected a share of patches to mix in [0, 1], got {self.mixup!r}")
        if self.schedule.patch % (stride := 2 ** (len(self.widths) - 1)):
            raise ArgumentError(f"expected a patch that {len(self.widths)} levels halve, a multiple of {stride}")

    @property
    def architecture(self) -> dict[str, Any]:
        """What rebuilds the network."""
        return {"modules": asdict(self.modules), "widths": list(self.widths)}

    def views(self, paths: list[Path], seed: int, progress: Shares = lambda done, total: None) -> NoisyViews:
        """Its training data, from clean photographs; ``progress`` is told how many are read, and to read."""
        sampler = PatchSampler(paths, self.schedule.patch, progress=progress)
        return NoisyViews(sampler, self.schedule, seed, self.noise, self.mixup)

    def train(self, data: NoisyViews, checkpoint: Path, *, progress: Progress = lambda step, loss: None) -> nn.Module:
        """The pruned network; see :func:`noisewise.methods.nvt.pretrain`."""
        return pretrain(self.modules, data, checkpoint, widths=self.widths, progress=progress)

    def save(self, network: nn.Module, path: Path, notes: dict[str, str]) -> None:
        """Write what :meth:`train` gave, for :func:`load_pretrained`."""
        save_network(network, path, architecture=self.architecture, notes=notes)


def read_pretraining_recipe(source: str | Path) -> PretrainingRecipe:
    """A recipe from a file, with tables ``[network]``, ``[modules]``, ``[schedule]``, ``[noise]`` and ``[views]``.

    Without a pool of noise it is that of the thesis; see ``recipes/`` for examples.

    Raises:
        ArgumentError: no such recipe, or it lacks a part or has one too many.
    """
    tables = recipe_tables(source)
    with told_of_recipe(source, "those in recipes/"):
        _require_known(tables)
        pool = tables.get("noise", {}).get("pool")
        recipe = PretrainingRecipe(
            Modules(**{"joining": None, **tables["modules"]}),
            tuple(tables["network"]["widths"]),
            Schedule(**tables["schedule"]),
            thesis_noise() if pool is None else noise_pool(pool),
            **tables.get("views", {}),
        )
        with torch.device("meta"):  # a network that cannot be built fails now, and costs nothing
            Pupil(recipe.modules, widths=recipe.widths)
        return recipe


def _require_known(tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Modules and schedule know their own entries."""
    entries = {"network": {"widths"}, "noise": {"pool"}, "views": {"mixup"}, "modules": None, "schedule": None}
    unknown = [name for name in tables if name not in entries]
    for name, known in entries.items():
        unknown += [f"{name}.{entry}" for entry in tables.get(name, {}) if known is not None and entry not in known]
    if unknown:
        raise ArgumentError(f"expected network, modules, schedule, noise and views, got {', '.join(unknown)}, too")


def load_pretrained(path: Path) -> nn.Module:
    """An encoder-decoder that ``noisewise pretrain`` wrote by a recipe with modules, for a learner to start from.

    Raises:
        WeightsError: the file is missing, is not safetensors, or does not hold such a network.
    """
    return load_network(path, _rebuilt, "a pre-trained encoder-decoder")[0]


def _rebuilt(architecture: dict[str, Any]) -> nn.Module:
    if "modules" not in architecture:
        raise ValueError("it was not trained by a recipe with modules, as those in recipes/ are")
    return Pupil(Modules(**architecture["modules"]), widths=tuple(architecture["widths"])).pruned()
