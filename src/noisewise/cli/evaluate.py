"""``noisewise evaluate``: what a network is worth, clean and noisy, beside another set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.labelled import DatasetName, Split, labelled_images
from noisewise.cli.options import Json, Network, Seed, Sides, Size, Weights, parse_sides
from noisewise.cli.rows import print_rows

if TYPE_CHECKING:
    from torch import nn

    from noisewise.contracts import Noise
    from noisewise.models.backbones import TaskName
    from noisewise.tasks import ComparableTask

__all__ = ["EXAMPLE", "app"]

EXAMPLE = (
    "Example: noisewise evaluate classification timm:resnet18 --weights mine.safetensors "
    "--against hardened.safetensors --data photos/val --noise gaussian:sigma=20"
)

app = typer.Typer(help="Measure a network: classification, segmentation, detection or reid.", no_args_is_help=True)

Data = Annotated[Path, typer.Option(help="Folder of the data set.")]
Against = Annotated[
    Path | None,
    typer.Option(help="Weights of the same network to compare with; differences are AGAINST minus --weights."),
]
Noises = Annotated[list[str] | None, typer.Option(help="Corrupts the images, as for `noisewise corrupt`; repeatable.")]
Suite = Annotated[bool, typer.Option("--suite", help="Every registered noise at five severities.")]
Batch = Annotated[int, typer.Option(min=1, help="Images that pass at once.")]


@app.command("classification", epilog=EXAMPLE)
def classification(
    model: Network,
    data: Data,
    weights: Weights = None,
    against: Against = None,
    dataset: DatasetName = "folder",
    split: Split = None,
    noise: Noises = None,
    suite: Suite = False,
    size: Size = None,
    batch_size: Batch = 64,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Top-1 accuracy in percent, clean and under noise; with --against the difference and its 95 % interval."""
    from torch.utils.data import DataLoader

    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.tasks.classification import Classification

    networks = _networks(model, weights, against, "classification")
    preprocess = resolve_preprocess(networks[0])
    loader = DataLoader(labelled_images(data, dataset, split, size or preprocess.size), batch_size=batch_size)
    task = Classification(loader, None, seed, preprocess)
    _print(networks, _under(task, _conditions(noise or [], suite=suite)), as_json=as_json)


@app.command(
    "segmentation",
    epilog="Example: noisewise evaluate segmentation torchvision:lraspp_mobilenet_v3_large --weights mine.safetensors "
    "--data camvid/ --dataset camvid --noise gaussian:sigma=20",
)
def segmentation(
    model: Network,
    data: Data,
    dataset: Annotated[str, typer.Option(help="camvid, ade20k, voc2012 or cityscapes.")],
    weights: Weights = None,
    against: Against = None,
    split: Split = None,
    noise: Noises = None,
    suite: Suite = False,
    size: Sides = None,
    batch_size: Batch = 8,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Mean IoU, pixel accuracy and boundary IoU in percent, clean and under noise.

    With --against the difference of the first, and its 95 % interval. Images
    keep their size unless --size gives one, and need one if they differ.
    """
    from torch.utils.data import DataLoader

    from noisewise.data.segmentation import SEGMENTATION_DATASETS, stacked
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.tasks.segmentation import Segmentation

    reader, conditions = SEGMENTATION_DATASETS[dataset], _conditions(noise or [], suite=suite)
    images = reader(data, split, size=parse_sides(size))
    networks = _networks(model, weights, against, "segmentation")
    loader = DataLoader(images, batch_size=batch_size, collate_fn=stacked)
    preprocess, alone = resolve_preprocess(networks[0]), against is None
    task = Segmentation(loader, reader.classes, None, seed, preprocess, boundaries=alone)
    _print(networks, _under(task, conditions), as_json=as_json)


@app.command(
    "detection",
    epilog="Example: noisewise evaluate detection torchvision:fasterrcnn_resnet50_fpn --weights mine.safetensors "
    "--data coco/ --dataset coco --noise gaussian:sigma=20",
)
def detection(
    model: Network,
    data: Data,
    dataset: Annotated[str, typer.Option(help="coco (annotations in JSON) or yolo (labels in text files).")],
    weights: Weights = None,
    against: Against = None,
    split: Split = None,
    noise: Noises = None,
    suite: Suite = False,
    resamples: Annotated[
        int, typer.Option(min=2, help="Bootstrap samples behind an interval; each is counted as long as the set.")
    ] = 200,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """AP of boxes in percent and, where masks are drawn, of them and their boundaries, clean and under noise.

    Photographs pass one by one, in their own size. With --against the AP of
    boxes of either, and their difference with its 95 % interval.
    """
    from noisewise.data.detection import DETECTION_DATASETS
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.tasks.detection import Detection

    photographs, conditions = DETECTION_DATASETS[dataset](data, split), _conditions(noise or [], suite=suite)
    networks = _networks(model, weights, against, "detection")
    preprocess, alone = resolve_preprocess(networks[0]), against is None
    task = Detection(photographs, None, seed, preprocess, masks=alone, resamples=resamples)
    _print(networks, _under(task, conditions), as_json=as_json)


@app.command(
    "reid",
    epilog="Example: noisewise evaluate reid my.nets:embedder --weights mine.pt --data market/ "
    "--dataset market1501 --size 256x128",
)
def reid(
    model: Network,
    data: Data,
    dataset: Annotated[str, typer.Option(help="market1501, dukemtmc, cuhk03, msmt17, vehicleid-800, nyala ...")],
    weights: Weights = None,
    against: Against = None,
    noise: Noises = None,
    size: Sides = None,
    batch_size: Batch = 64,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Mean average precision and rank 1, 5 and 10 in percent, clean and under noise.

    With --against the difference of the first, and its 95 % interval.
    """
    from noisewise.data.reidentification import REIDENTIFICATION_DATASETS
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.tasks.reidentification import Reidentification

    sides, conditions = parse_sides(size), _conditions(noise or [], suite=False)
    images = REIDENTIFICATION_DATASETS[dataset](data)
    networks = _networks(model, weights, against, "classification")
    preprocess = resolve_preprocess(networks[0])
    task = Reidentification(images, preprocess, None, seed, sides or preprocess.size, batch_size=batch_size)
    _print(networks, _under(task, conditions), as_json=as_json)


def _networks(model: str, weights: Path | None, against: Path | None, task: TaskName) -> list[nn.Module]:
    """The network with its weights and, where there are some to compare with, with those."""
    from noisewise.models.backbones import load_backbone

    chosen = [weights] if against is None else [weights, against]
    return [load_backbone(model, path, task) for path in chosen]


def _conditions(specs: list[str], *, suite: bool) -> dict[str, Noise | None]:
    """Noises by the name of their row; None is clean."""
    from noisewise.noise import parse_noise
    from noisewise.tasks.classification import corruptions

    chosen: dict[str, Noise | None] = {"clean": None, **{spec: parse_noise(spec) for spec in specs}}
    if suite:
        for name, noises in corruptions().items():
            chosen |= {f"{name}/{severity}": noise for severity, noise in enumerate(noises, start=1)}
    return chosen


def _under(task: Any, conditions: Mapping[str, Noise | None]) -> dict[str, ComparableTask[Any]]:
    return {name: replace(task, noise=noise) for name, noise in conditions.items()}


def _print(networks: list[nn.Module], tasks: Mapping[str, ComparableTask[Any]], *, as_json: bool) -> None:
    from noisewise.cli.batch import progress_bar

    with progress_bar("conditions") as bar:
        tracked = bar.track(tasks.items(), description="evaluating")
        rows = [{"images": name} | _row(networks, task) for name, task in tracked]
    print_rows(rows, as_json=as_json)


def _row(networks: list[nn.Module], task: ComparableTask[Any]) -> dict[str, Any]:
    """All metrics of one network; of two the main one, and its difference."""
    from noisewise.studies import rounded

    found = [task.find(network) for network in networks]
    if len(found) == 1:
        return {metric: round(value, 2) for metric, value in task.metrics(found[0])}
    (metric, first), (_, second) = (next(task.metrics(one)) for one in found)
    difference, low, high = rounded(task.difference(found[1], found[0]))
    return {metric: round(first, 2), "against": round(second, 2), "difference": difference, "ci95": [low, high]}
