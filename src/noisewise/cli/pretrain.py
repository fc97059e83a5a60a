"""``noisewise pretrain``: train a denoiser, or an encoder-decoder for a learner to start from, by a recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from noisewise.cli.options import Overwrite, Seed
from noisewise.cli.training import is_first_process, shown_training
from noisewise.cli.weights import check_weights_target, told_of_full_disks

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = ["EXAMPLE", "command"]

RECIPE = "denoiser"
EXAMPLE = "Example: noisewise pretrain --images micrographs/ --noisy-only -o my-denoiser.safetensors"


def command(
    images: Annotated[
        Path, typer.Option(help="Folder of clean photographs, or of noisy images, searched to any depth.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Weights to write.")] = Path("denoiser.safetensors"),
    recipe: Annotated[str, typer.Option(help="A shipped recipe or a .toml file.")] = RECIPE,
    noisy_only: Annotated[
        bool,
        typer.Option(
            "--noisy-only",
            help="The images are noisy and there are no clean ones: go on from the shipped network on their own noise.",
        ),
    ] = False,
    exclude: Annotated[
        Path | None, typer.Option(help="Text file with the stems of images that must not be trained on, one a line.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Of training, one batch each.", show_default="the recipe's, or 1500 of --noisy-only"),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train a blind denoiser; Ctrl-C and run again to resume.

    A recipe with modules of Noisy Visual Training, as in recipes/, trains a
    start for `denoise --method self2self --weights FILE`. The state is kept
    beside the output until the run ends. A GPU is used if there is one; several
    are by `accelerate launch -m noisewise pretrain ...`, which shares each batch.
    """
    check_weights_target(output, overwrite=overwrite)
    paths, checkpoint = _training_images(images, exclude), output.with_name(f"{output.name}.checkpoint")
    plan = _noisy_only_plan(paths, recipe, steps, seed) if noisy_only else _planned(paths, recipe, steps, seed)
    with told_of_full_disks(output):
        with shown_training(plan.steps) as progress:
            model = plan.train(checkpoint, progress)
        if not is_first_process():
            return
        notes = {"recipe": plan.recipe, "steps": str(plan.steps), "images": str(len(paths)), "seed": str(seed)}
        _whole_or_not_at_all(output, lambda path: plan.save(model, path, notes))
    checkpoint.unlink(missing_ok=True)
    typer.echo(f"{output}: trained on {len(paths)} images for {plan.steps} steps", err=True)


class _Plan(NamedTuple):
    """A training that is about to begin."""

    recipe: str
    steps: int
    train: Callable[[Path, Callable[[int, float], None]], nn.Module]
    """From the place of the checkpoint, and whom to tell after every step."""
    save: Callable[[Any, Path, dict[str, str]], None]
    """What was trained, to a path, with notes."""


def _planned(paths: list[Path], recipe: str, steps: int | None, seed: int) -> _Plan:
    from noisewise.train.recipe import recipe_tables

    kind = _modules_plan if "modules" in recipe_tables(recipe) else _supervised_plan
    return kind(paths, recipe, steps, seed)


def _modules_plan(paths: list[Path], recipe: str, steps: int | None, seed: int) -> _Plan:
    from noisewise.cli.batch import counting
    from noisewise.methods.nvt import read_pretraining_recipe

    told = read_pretraining_recipe(recipe)
    told = told if steps is None else replace(told, schedule=replace(told.schedule, steps=steps))
    with counting("reading", "images") as tick:
        data = told.views(paths, seed, tick)
    return _Plan(
        recipe,
        told.schedule.steps,
        lambda checkpoint, progress: told.train(data, checkpoint, progress=progress),
        told.save,
    )


def _supervised_plan(paths: list[Path], recipe: str, steps: int | None, seed: int) -> _Plan:
    from noisewise.cli.batch import counting
    from noisewise.data.patches import PatchSampler
    from noisewise.train import NoisyPatches, read_recipe, train_denoiser

    told = read_recipe(recipe)
    told = told if steps is None else replace(told, schedule=replace(told.schedule, steps=steps))
    with counting("reading", "images") as tick:
        sampler = PatchSampler(paths, told.schedule.patch, enlarged=told.enlarged, progress=tick)
    data = NoisyPatches(sampler, told, seed)
    return _Plan(
        recipe,
        told.schedule.steps,
        lambda checkpoint, progress: train_denoiser(told, data, checkpoint, progress=progress),
        _saved_as(told.model),
    )


def _noisy_only_plan(paths: list[Path], recipe: str, steps: int | None, seed: int) -> _Plan:
    from noisewise.cli.batch import counting
    from noisewise.data.patches import PatchSampler, load_unit
    from noisewise.errors import ArgumentError
    from noisewise.methods.nvt import NOISY_ONLY, NoisyCrops, train_noisy_only
    from noisewise.models.weights import load_with_architecture

    if recipe != RECIPE:
        raise ArgumentError(f"expected --noisy-only or --recipe {recipe}, got both; a recipe is for clean photographs")
    schedule = NOISY_ONLY if steps is None else replace(NOISY_ONLY, steps=steps)
    with counting("reading", "images") as tick:
        sampler = PatchSampler(paths, schedule.patch, load=load_unit, progress=tick)
    data = NoisyCrops(sampler, schedule, seed)
    start, architecture = load_with_architecture()
    return _Plan(
        "noisy only",
        schedule.steps,
        lambda checkpoint, progress: train_noisy_only(start, data, checkpoint, progress=progress),
        _saved_as(architecture),
    )


def _saved_as(architecture: dict[str, Any]) -> Callable[[Any, Path, dict[str, str]], None]:
    from noisewise.models import save_network

    return lambda model, path, notes: save_network(model, path, architecture=architecture, notes=notes)


def _training_images(folder: Path, exclude: Path | None) -> list[Path]:
    from noisewise.data import find_images
    from noisewise.errors import DatasetError

    if exclude is not None and not exclude.is_file():
        raise DatasetError(f"expected a text file with one stem a line at {exclude}, found none; check the spelling")
    left_out = set(map(str.strip, exclude.read_text().splitlines())) if exclude is not None else set()
    return [source.path for source in find_images([folder]) if source.path.stem not in left_out]


def _whole_or_not_at_all(output: Path, save: Callable[[Path], None]) -> None:
    unfinished = output.with_name(f".{output.name}.part")
    try:
        save(unfinished)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
