"""Recipes of pre-training: one TOML file says which modules take part, on what noise and for how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

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

    @property
    def architecture(self) -> dict[str, Any]:
        """What rebuilds the network."""
        return {"modules": asdict(self.modules), "widths": list(self.widths)}

    def views(self, paths: list[Path], seed: int) -> NoisyViews:
        """Its training data, from clean photographs."""
        return NoisyViews(PatchSampler(paths, self.schedule.patch), self.schedule, seed, self.noise, self.mixup)

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
    with told_of_recipe(source):
        extra = set(tables) - {"network", "modules", "schedule", "noise", "views"}
        if extra:
            raise ArgumentError(f"expected network, modules, schedule, noise and views, got {', '.join(extra)}, too")
        pool = tables.get("noise", {}).get("pool")
        return PretrainingRecipe(
            Modules(**{"joining": None, **tables["modules"]}),
            tuple(tables["network"]["widths"]),
            Schedule(**tables["schedule"]),
            thesis_noise() if pool is None else noise_pool(pool),
            **tables.get("views", {}),
        )


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
