"""``noisewise audit``: does what a network predicts depend on the other images of the batch?"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.labelled import DatasetName, Split, labelled_images
from noisewise.cli.options import Json, Network, Overwrite, Seed, Size, Weights
from noisewise.cli.rows import print_rows

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import Dataset

    from noisewise.studies import AuditReport, Predictor

__all__ = ["EXAMPLE", "command"]

EXAMPLE = "Example: noisewise audit timm:resnet18 --weights mine.safetensors --data photos/val --inject last=optimal"

_DEPENDENT = 3


def command(
    model: Network,
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    weights: Weights = None,
    dataset: DatasetName = "folder",
    split: Split = None,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE=NOISE", help="Noise inside the network, as in last=circular:strength=0.3; repeatable."
        ),
    ] = None,
    batch_sizes: Annotated[str, typer.Option(help="Images that are predicted together.")] = "1,10,64",
    size: Size = None,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy by batch size into this file.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Evaluate a network in given, shuffled and class-sorted order, and swap the batch mates of some images.

    The exit code is 3 where a prediction depends on the other images of its batch, so that a CI can use it.
    """
    from noisewise._files import check_target
    from noisewise.models.backbones import load_backbone
    from noisewise.models.preprocess import resolve_preprocess

    if plot is not None:
        check_target(plot, overwrite=overwrite)
    network = load_backbone(model, weights).eval()
    preprocess = resolve_preprocess(network)
    images = labelled_images(data, dataset, split, size or preprocess.size)
    with _injected(network, inject or [], seed):
        report = _audited(_predictor(network, preprocess), images, _parse_sizes(batch_sizes), seed)
    if plot is not None:
        report.plot().figure.savefig(plot)
    _print(report, as_json=as_json)
    if report.order_dependent:
        raise typer.Exit(_DEPENDENT)


def _injected(network: nn.Module, specs: list[str], seed: int) -> AbstractContextManager[object]:
    from noisewise.errors import ArgumentError
    from noisewise.noise import parse_feature_noise
    from noisewise.surgery import inject

    places: dict[str | int, Any] = {}
    for spec in specs:
        place, equals, noise = spec.partition("=")
        if not equals:
            raise ArgumentError(f"expected --inject PLACE=NOISE such as last=circular:strength=0.3, got {spec!r}")
        places[int(place) if place.lstrip("-").isdigit() else place] = parse_feature_noise(noise)
    if not places:
        return nullcontext()
    return inject(network, places, when="test", seed=seed, allow_batch_mixing=True)


def _predictor(network: nn.Module, preprocess: Any) -> Predictor:
    from noisewise.models.backbones import logits

    return lambda pixels: logits(network(preprocess(pixels)))


def _parse_sizes(text: str) -> list[int]:
    from noisewise.errors import ArgumentError

    sizes = text.split(",")
    if not all(size.strip().isdigit() for size in sizes):
        raise ArgumentError(f"expected --batch-sizes such as 1,10,64, got {text!r}")
    return [int(size) for size in sizes]


def _audited(predict: Predictor, images: Dataset[Any], sizes: list[int], seed: int) -> AuditReport:
    from noisewise.cli.batch import progress_bar
    from noisewise.studies import audit

    with progress_bar("predictions") as bar:
        task = bar.add_task("auditing", total=3 * len(sizes) * len(images))  # type: ignore[arg-type]
        return audit(
            predict, images, batch_sizes=sizes, seed=seed, progress=lambda done: bar.update(task, completed=done)
        )


def _print(report: AuditReport, *, as_json: bool) -> None:
    mates = report.mates
    if as_json:
        found = {"order_dependent": report.order_dependent, "mates": vars(mates), "runs": report.table}
        typer.echo(json.dumps(found, indent=2))
        return
    print_rows(report.table, as_json=False)
    typer.echo(f"swapping batch mates moves scores by {mates.swapped:.2%} of the distance between two images")
    if not mates.deterministic:
        typer.echo(f"the predictions are random: repeating them moves scores by {mates.repeated:.2%}")
    verdict = "depend on the other images of the batch" if report.order_dependent else "do not depend on the batch"
    typer.echo(f"predictions {verdict}")
