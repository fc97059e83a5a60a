"""``noisewise sweep``: which noise, where and how strong, helps a network, and does the gain survive the audit?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.labelled import DatasetName, Split, in_memory, labelled_images
from noisewise.cli.options import Json, Network, Overwrite, Size, Weights
from noisewise.cli.places import parse_place
from noisewise.cli.plots import check_plot, save_plot
from noisewise.cli.rows import print_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from noisewise.contracts import Shares
    from noisewise.data.classification import LabelledImages
    from noisewise.models.preprocess import Preprocess
    from noisewise.train import Schedule
    from noisewise.train.classifier import LabelledPixels

__all__ = ["EXAMPLE", "command"]

EXAMPLE = (
    "Example: noisewise sweep timm:resnet18 --weights mine.safetensors --data photos/val --noise circular:strength=1 "
    "--layers first,last --strengths 0.1,0.3,1 -o rows.jsonl --plot map.png"
)

_NOISES = ("circular:strength=1", "optimal", "gaussian:sigma=1", "salt_and_pepper:probability=1")
_PLOTTED = {"train": "off", "test": "shuffled", "both": "shuffled"}
"""The state that a heat map shows: sorted batches would show the leak, and what was noisy in training only has one."""

_COMBINATION = ("noise", "strength", "layer", "when")


def command(
    model: Network,
    data: Annotated[Path, typer.Option(help="Folder of the images to test on.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Rows, .jsonl; a file from before is extended.")],
    weights: Weights = None,
    dataset: DatasetName = "folder",
    split: Split = None,
    train: Annotated[
        Path | None, typer.Option(help="Folder of images to train on further with the noise, for --when train or both.")
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(
            help="Inside the network, repeatable.",
            show_default="circular, optimal, gaussian, salt_and_pepper, each at level 1",
        ),
    ] = None,
    strengths: Annotated[str, typer.Option(help="Factors on the level of the noise.")] = "0.1,0.3,1",
    layers: Annotated[str, typer.Option(help="last, first, indices of blocks, names of modules.")] = "last",
    when: Annotated[str, typer.Option(help="train, test, both: when the noise is on.")] = "test",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each combination.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Of further training.")] = 300,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of further training, the greatest.")] = 2e-4,
    size: Size = None,
    plot: Annotated[Path | None, typer.Option(help="Heat map of layer and strength: a .png, .svg or .pdf.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Strength x layer x noise x time x seed, each figure asked in several orders and audited; resumes after Ctrl-C.

    Top-1 in percent: off, without noise; with it in batches of ten, shuffled and sorted by class; bs1, one image at a
    time. A figure that depends on the other images of its batch is none of the network: it failed the audit. With train
    or both, a control trained as long without noise comes first. The table has means over the seeds, --json every run.
    """
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.studies import InjectionStudy, sweep
    from noisewise.studies.sweep import read_rows

    noises, times, factors = noise or list(_NOISES), _times(when, train), _numbers(strengths)
    places = [parse_place(one.strip()) for one in layers.split(",")]
    _require_levels(noises, factors)
    if plot is not None:
        _require_one_map(noises, times)
        check_plot(plot, overwrite=overwrite)
    read_rows(output)  # a file of something else is found out before any work
    network = _network(model, weights, places)
    preprocess = resolve_preprocess(network)
    tested, learnt = _images((data, dataset, split), train if times != ["test"] else None, size, preprocess)
    study = InjectionStudy(network, tested, preprocess, learnt, _schedule(learnt, steps, learning_rate))
    points = _points(noises, factors, places, times, seeds, study.fingerprint())
    if overwrite:
        output.unlink(missing_ok=True)
    rows = _shown(lambda tell: sweep(study, points, output, progress=tell))
    _print(rows, as_json=as_json)
    if plot is not None:
        save_plot(_heat_map(rows, times[0]), plot, overwrite=overwrite)


def _network(model: str, weights: Path | None, places: Sequence[str | int]) -> nn.Module:
    """The network, which has all the places."""
    from noisewise.models.backbones import load_backbone
    from noisewise.surgery import resolve_place

    network = load_backbone(model, weights)
    for place in places:
        resolve_place(network, place)
    return network


def _images(
    tested: tuple[Path, str, str | None], train: Path | None, size: int | None, preprocess: Preprocess
) -> tuple[LabelledPixels, LabelledPixels | None]:
    """What to test on and what to train on, in memory."""
    side = size or preprocess.size
    held_out = labelled_images(*tested, side)
    pixels = in_memory(held_out, "test images")
    return pixels, None if train is None else _training_images(train, held_out, side)


def _training_images(train: Path, held_out: LabelledImages, side: tuple[int, int] | int | None) -> LabelledPixels:
    """In memory, with the classes of the images to test on."""
    from noisewise.errors import DatasetError

    images = labelled_images(train, "folder", None, side)
    if differing := sorted(set(images.classes) ^ set(held_out.classes)):
        raise DatasetError(
            f"expected the same classes to train and to test on, but {differing[0]!r} is in one of them only; give "
            "both the same folders of classes"
        )
    return in_memory(images, "training images")


def _schedule(training: LabelledPixels | None, steps: int, rate: float) -> Schedule | None:
    from noisewise.train import Schedule

    if training is None:
        return None
    batch, side = min(64, len(training.labels)), training.images.shape[-1]
    return Schedule(steps, batch, side, rate, warmup=steps // 10, decay=0.7, ema=0.99)


def _points(
    noises: Sequence[str],
    strengths: Sequence[float],
    layers: Sequence[str | int],
    times: Sequence[str],
    seeds: int,
    study: str,
) -> list[dict[str, Any]]:
    from noisewise.studies import grid_points
    from noisewise.studies.injection import CONTROL

    shared: dict[str, Sequence[Any]] = {"study": [study], "seed": range(seeds)}
    control = shared | {"noise": [CONTROL], "strength": [0.0], "layer": ["last"], "when": ["train"]}
    grid = shared | {"noise": noises, "strength": strengths, "layer": layers, "when": times}
    return grid_points(control) * (set(times) != {"test"}) + grid_points(grid)


def _shown(work: Callable[[Shares], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    from noisewise.cli.batch import counting

    with counting("sweeping", "runs") as tick:
        return work(tick)


def _print(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Every row for machines; for people one for each combination, with the mean over the seeds."""
    seeds = len({row["seed"] for row in rows})
    print_rows(rows if as_json else _told(rows), as_json=as_json)
    if seeds > 1 and not as_json:
        typer.echo(f"means over {seeds} seeds, ± half the width of their 95 % t intervals")


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each combination, the verdict in words: it has failed the audit if it did with any seed."""
    from noisewise.studies import summarise
    from noisewise.studies.injection import STATES

    columns = {name: summarise(rows, name, by=_COMBINATION) for name in (*STATES, "order_dependent")}
    return [
        {name: failed[name] for name in _COMBINATION}
        | {state: _mean(columns[state][index]) for state in STATES}
        | {"audit": "failed" if failed["mean"] else "passed"}
        for index, failed in enumerate(columns["order_dependent"])
    ]


def _mean(summary: dict[str, Any]) -> str:
    mean, high = summary["mean"], summary["high"]
    return f"{mean:.2f}" if high is None else f"{mean:.2f} ±{high - mean:.2f}"


def _heat_map(rows: Sequence[dict[str, Any]], when: str) -> Any:
    from noisewise.studies import heat_map, summarise
    from noisewise.studies.injection import CONTROL

    state = _PLOTTED[when]
    chosen = [row for row in rows if row["noise"] != CONTROL]
    means = [row | {f"top-1 in %, {state}": row["mean"]} for row in summarise(chosen, state, by=["layer", "strength"])]
    return heat_map(means, x="strength", y="layer", value=f"top-1 in %, {state}")


def _times(text: str, train: Path | None) -> list[str]:
    from noisewise.errors import ArgumentError

    times = text.split(",")
    if not set(times) <= _PLOTTED.keys():
        raise ArgumentError(f"expected --when from {', '.join(_PLOTTED)}, comma-separated, got {text!r}")
    if train is None and times != ["test"]:
        raise ArgumentError(f"--when {text} trains; name the training images with --train, or use --when test")
    return times


def _require_one_map(noises: Sequence[str], times: Sequence[str]) -> None:
    from noisewise.errors import ArgumentError

    if len(noises) > 1 or len(times) > 1:
        raise ArgumentError(
            f"a heat map shows one --noise at one --when, got {len(noises)} and {len(times)}; choose one of each"
        )


def _require_levels(noises: Sequence[str], factors: Sequence[float]) -> None:
    """Every noise has a level at every strength.

    Raises:
        ArgumentError: a level would leave its range.
    """
    from noisewise.noise import parse_feature_noise

    for spec in noises:
        for factor in factors:
            parse_feature_noise(spec).scaled(factor)


def _numbers(text: str) -> list[float]:
    from noisewise.errors import ArgumentError

    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 <= number < float("inf") for number in numbers):
        raise ArgumentError(f"expected --strengths such as 0.1,0.3,1, got {text!r}")
    return numbers
