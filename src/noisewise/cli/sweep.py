"""``noisewise sweep``: which noise, where and how strong, helps a network, and does the gain survive the audit?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.labelled import DatasetName, Split, in_memory, labelled_images
from noisewise.cli.options import Json, Network, Overwrite, Size, Weights
from noisewise.cli.plots import check_plot, save_plot
from noisewise.cli.rows import print_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noisewise.studies import InjectionStudy

__all__ = ["EXAMPLE", "command"]

EXAMPLE = (
    "Example: noisewise sweep timm:resnet18 --weights mine.safetensors --data photos/val --train photos/train "
    "--when train,test --noise optimal --noise circular:strength=1 --strengths 0.3,1 -o rows.jsonl --plot map.png"
)

_NOISES = ("circular:strength=1", "optimal", "gaussian:sigma=1", "salt_and_pepper:probability=1")
_PLOTTED = {"train": "off", "test": "sorted", "both": "sorted"}


def command(
    model: Network,
    data: Annotated[Path, typer.Option(help="Folder of the images to test on.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Rows, .jsonl; a file from before is extended.")],
    weights: Weights = None,
    dataset: DatasetName = "folder",
    split: Split = None,
    train: Annotated[Path | None, typer.Option(help="Folder of images to train on further with the noise.")] = None,
    noise: Annotated[list[str] | None, typer.Option(help="Repeatable.", show_default="all four at level 1")] = None,
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
    time. A figure that depends on the other images of its batch is not one of the network: audit says so. With train
    or both, a control trained as long without noise comes first.
    """
    from noisewise.noise import parse_feature_noise
    from noisewise.studies import sweep
    from noisewise.studies.sweep import read_rows

    noises, times = noise or list(_NOISES), _times(when, train)
    factors, places = _numbers(strengths), [_place(one) for one in layers.split(",")]
    for spec in noises:
        parse_feature_noise(spec)
    if plot is not None:
        _require_one_map(noises, times)
        check_plot(plot, overwrite=overwrite)
    read_rows(output)
    study = _study(model, weights, data, dataset, split, train, size, steps, learning_rate)
    points = _points(noises, factors, places, times, seeds)
    rows = _shown(lambda tell: sweep(study, points, output, progress=tell))
    print_rows([_told(row) for row in rows], as_json=as_json)
    if plot is not None:
        save_plot(_heat_map(rows, times[0]), plot, overwrite=overwrite)


def _study(
    model: str,
    weights: Path | None,
    data: Path,
    dataset: str,
    split: str | None,
    train: Path | None,
    size: int | None,
    steps: int,
    learning_rate: float,
) -> InjectionStudy:
    from noisewise.models.backbones import load_backbone
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.studies import InjectionStudy
    from noisewise.train import Schedule

    network = load_backbone(model, weights).eval()
    preprocess = resolve_preprocess(network)
    side = size or (min(preprocess.size) if preprocess.size else None)
    held_out = in_memory(labelled_images(data, dataset, split, side), "test images")
    if train is None:
        return InjectionStudy(network, held_out, preprocess)
    training = in_memory(labelled_images(train, "folder", None, side), "training images")
    batch = min(64, len(training.labels))
    schedule = Schedule(steps, batch, side or 1, learning_rate, warmup=steps // 10, decay=0.7, ema=0.99)
    return InjectionStudy(network, held_out, preprocess, training, schedule)


def _points(
    noises: Sequence[str], strengths: Sequence[float], layers: Sequence[str | int], times: Sequence[str], seeds: int
) -> list[dict[str, Any]]:
    from noisewise.studies import grid_points
    from noisewise.studies.injection import CONTROL

    numbers = list(range(seeds))
    grid: dict[str, Sequence[Any]] = {"noise": noises, "strength": strengths, "layer": layers}
    grid |= {"seed": numbers, "when": times}
    control: dict[str, Sequence[Any]] = {
        "noise": [CONTROL],
        "strength": [0.0],
        "layer": ["last"],
        "seed": numbers,
        "when": ["train"],
    }
    return grid_points(control) * (set(times) != {"test"}) + grid_points(grid)


def _shown(work: Callable[[Callable[[int, int], None]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    from noisewise.cli.batch import progress_bar

    with progress_bar("runs") as bar:
        task = bar.add_task("sweeping", total=None)
        return work(lambda done, of: bar.update(task, completed=done, total=of))


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: the verdict in words."""
    verdict = "depends on the batch" if row["order_dependent"] else "passed"
    kept = {name: value for name, value in row.items() if not name.endswith("_ci95") and name != "order_dependent"}
    return kept | {"audit": verdict}


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


def _numbers(text: str) -> list[float]:
    from noisewise.errors import ArgumentError

    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 <= number < float("inf") for number in numbers):
        raise ArgumentError(f"expected --strengths such as 0.1,0.3,1, got {text!r}")
    return numbers


def _place(text: str) -> str | int:
    return int(text) if text.removeprefix("-").isdecimal() else text
