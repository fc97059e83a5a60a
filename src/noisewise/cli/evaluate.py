"""``noisewise evaluate``: what a network is worth, clean and noisy, beside another set of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.labelled import DatasetName, Split, labelled_images
from noisewise.cli.options import Json, Network, Seed, Sides, Size, Weights, parse_sides
from noisewise.cli.rows import print_rows

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader

    from noisewise.measure.statistics import Interval
    from noisewise.models.backbones import TaskName
    from noisewise.models.preprocess import Preprocess
    from noisewise.tasks.detection import Detection
    from noisewise.tasks.reidentification import Reidentification
    from noisewise.tasks.segmentation import Segmentation

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

    networks = _networks(model, weights, against, "classification")
    preprocess = resolve_preprocess(networks[0])
    loader = DataLoader(labelled_images(data, dataset, split, size or preprocess.size), batch_size=batch_size)
    rows = list(_accuracies(networks, loader, preprocess, _conditions(noise or [], suite=suite), seed))
    print_rows(rows, as_json=as_json)


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
    task = Segmentation(loader, reader.classes, None, seed, resolve_preprocess(networks[0]))
    tasks = {name: replace(task, noise=noise) for name, noise in conditions.items()}
    print_rows(list(_segmented(networks, tasks, seed)), as_json=as_json)


def _segmented(networks: list[nn.Module], tasks: Mapping[str, Segmentation], seed: int) -> Iterator[dict[str, Any]]:
    from noisewise.cli.batch import progress_bar
    from noisewise.tasks.segmentation import miou_difference

    with progress_bar("conditions") as bar:
        for name, task in bar.track(tasks.items(), description="evaluating"):
            found = [task.segment(network) for network in networks]
            row: dict[str, Any] = {"images": name, "mIoU": round(found[0].miou, 2)}
            if len(found) == 1:
                row |= {"accuracy": round(found[0].accuracy, 2), "boundary IoU": round(found[0].boundary_iou, 2)}
            else:
                row |= {"against": round(found[1].miou, 2)}
                row |= _difference(miou_difference(found[1], found[0], seed=seed))
            yield row


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
    task = Detection(photographs, None, seed, resolve_preprocess(networks[0]))
    tasks = {name: replace(task, noise=noise) for name, noise in conditions.items()}
    print_rows(list(_detected(networks, tasks, resamples, seed)), as_json=as_json)


def _detected(
    networks: list[nn.Module], tasks: Mapping[str, Detection], resamples: int, seed: int
) -> Iterator[dict[str, Any]]:
    from noisewise.cli.batch import progress_bar

    with progress_bar("conditions") as bar:
        for name, task in bar.track(tasks.items(), description="evaluating"):
            row: dict[str, Any] = {"images": name}
            if len(networks) == 1:
                yield row | {metric: round(value, 2) for metric, value in task(networks[0])}
            else:
                yield row | _precisions(networks, task, resamples, seed)


def _precisions(networks: list[nn.Module], task: Detection, resamples: int, seed: int) -> dict[str, Any]:
    """AP of boxes of either network, and their difference."""
    from noisewise.measure.detection import average_precision
    from noisewise.tasks.detection import ap_difference

    runs = [task.detect(network) for network in networks]
    first, second = (average_precision(*run).ap for run in runs)
    points = ap_difference(runs[1], runs[0], resamples=resamples, seed=seed)
    return {"ap": round(first, 2), "against": round(second, 2)} | _difference(points)


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
    tasks = {name: replace(task, noise=noise) for name, noise in conditions.items()}
    print_rows(list(_retrievals(networks, tasks, seed)), as_json=as_json)


def _retrievals(
    networks: list[nn.Module], tasks: Mapping[str, Reidentification], seed: int
) -> Iterator[dict[str, Any]]:
    from noisewise.cli.batch import progress_bar
    from noisewise.measure.retrieval import cmc, mean_average_precision
    from noisewise.tasks.reidentification import map_difference

    with progress_bar("conditions") as bar:
        for name, task in bar.track(tasks.items(), description="evaluating"):
            found = [task.retrieve(network) for network in networks]
            row: dict[str, Any] = {"images": name, "mAP": round(100 * mean_average_precision(found[0]), 2)}
            if len(found) == 1:
                ranks = (1, 5, 10)
                shares = zip(ranks, cmc(found[0], ranks), strict=True)
                row |= {f"rank{rank}": round(100 * share, 2) for rank, share in shares}
            else:
                row |= {"against": round(100 * mean_average_precision(found[1]), 2)}
                row |= _difference(map_difference(found[1], found[0], seed=seed))
            yield row


def _networks(model: str, weights: Path | None, against: Path | None, task: TaskName) -> list[nn.Module]:
    """The network with its weights and, where there are some to compare with, with those."""
    from noisewise.models.backbones import load_backbone

    chosen = [weights] if against is None else [weights, against]
    return [load_backbone(model, path, task) for path in chosen]


def _conditions(specs: list[str], *, suite: bool) -> dict[str, Any]:
    """Noises by the name of their row; None is clean."""
    from noisewise.noise import parse_noise
    from noisewise.tasks.classification import corruptions

    chosen: dict[str, Any] = {"clean": None, **{spec: parse_noise(spec) for spec in specs}}
    if suite:
        for name, noises in corruptions().items():
            chosen |= {f"{name}/{severity}": noise for severity, noise in enumerate(noises, start=1)}
    return chosen


def _accuracies(
    networks: list[nn.Module], loader: DataLoader[Any], preprocess: Preprocess, conditions: Mapping[str, Any], seed: int
) -> Iterator[dict[str, Any]]:
    from noisewise.cli.batch import progress_bar
    from noisewise.tasks.classification import accuracy_difference, evaluate

    with progress_bar("conditions") as bar:
        for name, noise in bar.track(conditions.items(), description="evaluating"):
            results = [evaluate(net, loader, noise=noise, seed=seed, preprocess=preprocess) for net in networks]
            row: dict[str, Any] = {"images": name, "top1": round(results[0].top1_accuracy, 2)}
            if len(results) == 1:
                row["top5"] = round(results[0].top5_accuracy, 2)
            else:
                row |= {"against": round(results[1].top1_accuracy, 2)}
                row |= _difference(accuracy_difference(results[1], results[0], seed=seed))
            yield row


def _difference(interval: Interval) -> dict[str, Any]:
    from noisewise.studies import rounded

    mean, low, high = rounded(interval)
    return {"difference": mean, "ci95": [low, high]}
