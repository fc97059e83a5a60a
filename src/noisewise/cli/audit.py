"""``noisewise audit``: does what a network predicts depend on the other images of the batch?"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from noisewise.cli.labelled import DatasetName, Split, labelled_images, read_once
from noisewise.cli.options import Json, Network, Overwrite, Seed, Size, Weights
from noisewise.cli.places import Inject, parse_places
from noisewise.cli.plots import check_plot, save_plot
from noisewise.cli.rows import print_rows

if TYPE_CHECKING:
    from torch import nn

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
    inject: Inject = None,
    batch_sizes: Annotated[str, typer.Option(help="Images that are predicted together, comma-separated.")] = "1,10,64",
    size: Size = None,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy by batch size: a .png, .svg or .pdf.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Evaluate a network in given, shuffled and class-sorted order, and swap the batch mates of some images.

    The exit code is 3 where a prediction depends on the other images of its batch, so that a CI can use it.
    In percent: purity, pairs of batch mates with one label; moved, images whose scores differ from those of the first
    row by more than rounding and by enough to matter; changed, those whose class differs.
    """
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.studies import network_predictor
    from noisewise.surgery import inject as inject_noise

    sizes, places = _parse_sizes(batch_sizes), parse_places(inject)
    if plot is not None:
        check_plot(plot, overwrite=overwrite)
    network = _own_copy(model, weights)
    preprocess = resolve_preprocess(network)
    images = labelled_images(data, dataset, split, size or preprocess.size)
    with inject_noise(network, places, when="test", seed=seed, allow_batch_mixing=True):
        report = _audited(network_predictor(network, preprocess), read_once(images, "images"), sizes, seed)
    _print(report, as_json=as_json)
    if plot is not None:
        save_plot(report.plot(), plot, overwrite=overwrite)
    if report.order_dependent:
        raise typer.Exit(_DEPENDENT)


def _own_copy(model: str, weights: Path | None) -> nn.Module:
    """The network on the first device; a copy, for a factory may keep its own, with batch norms that go on learning."""
    from noisewise.models.backbones import load_backbone
    from noisewise.studies.sweep import local_devices

    return copy.deepcopy(load_backbone(model, weights)).to(local_devices()[0]).eval()


def _parse_sizes(text: str) -> list[int]:
    from noisewise.errors import ArgumentError

    sizes = text.split(",")
    if not all(re.fullmatch(r"\s*0*[1-9][0-9]*\s*", size) for size in sizes):
        raise ArgumentError(f"expected --batch-sizes of at least 1, such as 1,10,64, got {text!r}")
    return [int(size) for size in sizes]


def _audited(predict: Predictor, images: Any, sizes: list[int], seed: int) -> AuditReport:
    from noisewise.cli.batch import progress_bar
    from noisewise.studies import Order, audit

    total = len(get_args(Order)) * len(sizes) * len(images)
    with progress_bar("predictions") as bar:
        task = bar.add_task("auditing", total=total)
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
