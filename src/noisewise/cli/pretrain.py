"""``noisewise pretrain``: train a denoiser from a recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.options import Overwrite

if TYPE_CHECKING:
    from noisewise.train import Recipe

__all__ = ["EXAMPLE", "command"]

EXAMPLE = "Example: noisewise pretrain --images BSDS500/ --exclude cbsd68.txt -o my-denoiser.safetensors"


def command(
    images: Annotated[Path, typer.Option(help="Folder of clean photographs, searched to any depth.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Weights to write.")] = Path("denoiser.safetensors"),
    recipe: Annotated[str, typer.Option(help="A shipped recipe or a .toml file.")] = "denoiser",
    exclude: Annotated[
        Path | None, typer.Option(help="Text file with the stems of images that must not be trained on, one a line.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of the recipe's number of steps.")] = None,
    seed: Annotated[int, typer.Option(help="Of the whole run.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train a blind denoiser; Ctrl-C and run again to resume.

    The state is kept beside the output until the run ends. A GPU is used if there is one.
    """
    from noisewise.data.patches import PatchSampler
    from noisewise.errors import OutputError
    from noisewise.models import save_denoiser
    from noisewise.train import NoisyPatches, read_recipe, train_denoiser

    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists already; choose another name or pass --overwrite")
    plan = _with_steps(read_recipe(recipe), steps)
    paths = _training_images(images, exclude)
    data = NoisyPatches(PatchSampler(paths, plan.schedule.patch), plan, seed)
    checkpoint = output.with_suffix(".checkpoint")
    model = train_denoiser(plan, data, checkpoint, progress=_Bar(plan.schedule.steps))
    notes = {"recipe": recipe, "steps": str(plan.schedule.steps), "images": str(len(paths)), "seed": str(seed)}
    save_denoiser(model, output, architecture=plan.model, notes=notes)
    checkpoint.unlink(missing_ok=True)
    typer.echo(f"trained on {len(paths)} images for {plan.schedule.steps} steps: {output}")


def _with_steps(recipe: Recipe, steps: int | None) -> Recipe:
    return recipe if steps is None else replace(recipe, schedule=replace(recipe.schedule, steps=steps))


def _training_images(folder: Path, exclude: Path | None) -> list[Path]:
    from noisewise.data import find_images
    from noisewise.errors import DatasetError

    if exclude is not None and not exclude.is_file():
        raise DatasetError(f"expected a text file with one stem a line at {exclude}, found none")
    left_out = set(exclude.read_text().split()) if exclude is not None else set()
    return [source.path for source in find_images([folder]) if source.path.stem not in left_out]


class _Bar:
    """A progress bar with a smoothed loss; on a log file, a line every hundred steps."""

    def __init__(self, steps: int) -> None:
        from noisewise.cli.batch import progress_bar

        self._bar: Any = progress_bar("steps")
        self._task = self._bar.add_task("training", total=steps)
        self._bar.start()
        self._loss: float | None = None

    def __call__(self, step: int, loss: float) -> None:
        self._loss = loss if self._loss is None else 0.98 * self._loss + 0.02 * loss
        self._bar.update(self._task, completed=step, description=f"training, loss {self._loss:.4f}")
        if step % 100 == 0 and self._bar.disable:
            typer.echo(f"step {step} of {self._bar.tasks[0].total:.0f}, loss {self._loss:.5f}", err=True)
        if self._bar.finished:
            self._bar.stop()
