"""``noisewise pretrain``: train a denoiser from a recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noisewise.cli.options import Overwrite, Seed
from noisewise.cli.training import shown_training
from noisewise.cli.weights import told_of_full_disks

if TYPE_CHECKING:
    from noisewise.models import BlindDenoiser
    from noisewise.train import Recipe

__all__ = ["EXAMPLE", "command"]

EXAMPLE = "Example: noisewise pretrain --images photos/ --exclude test-set.txt -o my-denoiser.safetensors"


def command(
    images: Annotated[Path, typer.Option(help="Folder of clean photographs, searched to any depth.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Weights to write.")] = Path("denoiser.safetensors"),
    recipe: Annotated[str, typer.Option(help="A shipped recipe or a .toml file.")] = "denoiser",
    exclude: Annotated[
        Path | None, typer.Option(help="Text file with the stems of images that must not be trained on, one a line.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's number of steps.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train a blind denoiser; Ctrl-C and run again to resume.

    The state is kept beside the output until the run ends. A GPU is used if
    there is one.
    """
    from noisewise._files import check_target
    from noisewise.data.patches import PatchSampler
    from noisewise.train import NoisyPatches, read_recipe, train_denoiser

    check_target(output, overwrite=overwrite)
    plan = _with_steps(read_recipe(recipe), steps)
    paths = _training_images(images, exclude)
    data = NoisyPatches(PatchSampler(paths, plan.schedule.patch, enlarged=plan.enlarged), plan, seed)
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    notes = {"recipe": recipe, "steps": str(plan.schedule.steps), "images": str(len(paths)), "seed": str(seed)}
    with told_of_full_disks(output):
        with shown_training(plan.schedule.steps) as progress:
            model = train_denoiser(plan, data, checkpoint, progress=progress)
        _save(model, output, plan, notes)
    checkpoint.unlink(missing_ok=True)
    typer.echo(f"{output}: trained on {len(paths)} images for {plan.schedule.steps} steps", err=True)


def _with_steps(recipe: Recipe, steps: int | None) -> Recipe:
    return recipe if steps is None else replace(recipe, schedule=replace(recipe.schedule, steps=steps))


def _training_images(folder: Path, exclude: Path | None) -> list[Path]:
    from noisewise.data import find_images
    from noisewise.errors import DatasetError

    if exclude is not None and not exclude.is_file():
        raise DatasetError(f"expected a text file with one stem a line at {exclude}, found none; check the spelling")
    left_out = set(map(str.strip, exclude.read_text().splitlines())) if exclude is not None else set()
    return [source.path for source in find_images([folder]) if source.path.stem not in left_out]


def _save(model: BlindDenoiser, output: Path, plan: Recipe, notes: dict[str, str]) -> None:
    """Whole or not at all."""
    from noisewise.models import save_denoiser

    unfinished = output.with_name(f".{output.name}.part")
    try:
        save_denoiser(model, unfinished, architecture=plan.model, notes=notes)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
