"""``noisewise study``: a table of a paper, its figures beside those measured on the user's own data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.options import NETWORKS, Json, Seed, Sides, parse_sides
from noisewise.cli.rows import print_rows

if TYPE_CHECKING:
    from torch import nn

    from noisewise.models.preprocess import Preprocess
    from noisewise.studies import Comparison, MeasuredRow, Table1Row

__all__ = ["EXAMPLE", "app"]

EXAMPLE = "Example: noisewise study table1 --row detection --coco coco/ --weights trained.safetensors"

_COUNTS = ("test_images", "training_images", "layers", "other_layers")

app = typer.Typer(help="Measure what a paper reports, on your own data.", no_args_is_help=True)


def _folder_of(title: str, row: str) -> Any:
    return typer.Option(metavar="DIR", help=f"Folder of {title}, for --row {row}.", show_default=False)


@app.command("table1", epilog=EXAMPLE)
def table1(
    row: Annotated[str, typer.Option(help="classification, reid, detection or segmentation.", show_default=False)],
    imagenet: Annotated[Path | None, _folder_of("ImageNet", "classification")] = None,
    msmt17: Annotated[Path | None, _folder_of("MSMT17", "reid")] = None,
    coco: Annotated[Path | None, _folder_of("COCO", "detection")] = None,
    ade20k: Annotated[Path | None, _folder_of("ADE20K", "segmentation")] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help=f"{NETWORKS}.",
            show_default="swinv2_tiny_window8_256 of timm, fasterrcnn_resnet50_fpn or fcn_resnet50 of torchvision; "
            "name one for reid",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="The network's state dict, .safetensors or .pt; needed unless the network brings its own."),
    ] = None,
    published: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="BASELINE RESULT",
            help="Figures in percent to stand beside yours in place of the row's own, such as 40.5 41.2.",
            show_default="the row's own, where they could be verified",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=2, help="Training images to fit on at most; no labels are used.")] = 1000,
    size: Sides = None,
    resamples: Annotated[
        int, typer.Option(min=2, help="Bootstrap samples behind the interval of box AP; each is counted anew.")
    ] = 200,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """A row of DenoiseRep's Table 1: its published figures beside those of your network on your data.

    Measured on clean test images, in percent: the network as it came, and with the paper's denoisers in its weights,
    fitted in closed form on training images. The difference has a 95 % interval over the test images.
    """
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.studies import TABLE1, ComparisonSettings
    from noisewise.studies.sweep import local_devices

    sides = parse_sides(size)
    root = _folder(row, {"imagenet": imagenet, "msmt17": msmt17, "coco": coco, "ade20k": ade20k})
    spec = network or _usual(TABLE1[row])
    chosen = TABLE1[row] if published is None else _beside(TABLE1[row], spec, *published)
    model = _trained(chosen, spec, weights).to(local_devices()[0])
    settings = ComparisonSettings(resolve_preprocess(model), sides, seed, resamples)
    measured = _measured(model, chosen.open(root, settings), settings.preprocess, limit)
    _report(row, chosen, spec, measured, as_json=as_json)


def _folder(row: str, given: Mapping[str, Path | None]) -> Path:
    """The one folder that the row reads.

    Raises:
        ArgumentError: it is not named, or one that the row does not read is.
    """
    from noisewise.errors import ArgumentError
    from noisewise.studies import TABLE1

    option = TABLE1[row].dataset
    others = [name for name, folder in given.items() if folder is not None and name != option]
    if others:
        raise ArgumentError(f"--row {row} reads --{option} alone, got --{', --'.join(others)} as well; leave it out")
    root = given[option]
    if root is None:
        raise ArgumentError(f"--row {row} needs the folder of {TABLE1[row].title}; name it with --{option} DIR")
    return root


def _usual(row: Table1Row) -> str:
    from noisewise.errors import ArgumentError

    if row.network is None:
        paper = "" if row.published is None else f", {row.published.network}"
        raise ArgumentError(
            f"no library has the network of this row{paper}; name yours with --network package.module:factory, a "
            "function that builds it"
        )
    return row.network


def _beside(row: Table1Row, spec: str, baseline: float, result: float) -> Table1Row:
    """The row with figures that the user has read.

    Raises:
        ArgumentError: they are no percentages.
    """
    from noisewise.errors import ArgumentError
    from noisewise.studies import Published

    if not all(0 <= figure <= 100 for figure in (baseline, result)):
        raise ArgumentError(
            f"expected two figures in percent after --published, got {baseline:g} {result:g}; write 40.5 for 40.5 %"
        )
    return replace(row, published=Published(spec, baseline, result, "--published"))


def _trained(row: Table1Row, spec: str, weights: Path | None) -> nn.Module:
    """The network with trained weights, the user's or its own.

    Raises:
        ArgumentError: it would be random.
    """
    from noisewise.errors import ArgumentError
    from noisewise.models.backbones import load_backbone, starts_at_random

    if weights is None and starts_at_random(spec, row.task):
        raise ArgumentError(
            f"expected trained weights of {spec}, got none, and a random network makes no row; name their file with "
            "--weights, or another network with --network"
        )
    return load_backbone(spec, weights, row.task)


def _measured(network: nn.Module, comparison: Comparison[Any], preprocess: Preprocess, limit: int) -> MeasuredRow:
    from noisewise.cli.batch import progress_bar
    from noisewise.studies import measure_row

    with progress_bar("images") as bar:
        task = bar.add_task("fitting", total=None)

        def tick(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return measure_row(network, comparison, preprocess, limit=limit, progress=tick)


def _report(row: str, of: Table1Row, spec: str, measured: MeasuredRow, *, as_json: bool) -> None:
    told = {"row": row, "data": of.title, "metric": f"{of.metric} in %"}
    lines, notes = {"published": _published(of), "measured": _on_own_data(measured)}, _notes(of, spec, measured)
    if as_json:
        networks = {"published": of.published and of.published.network, "measured": spec}
        by_source = {source: {"network": networks[source]} | line for source, line in lines.items()}
        counts = {name: getattr(measured, name) for name in _COUNTS}
        typer.echo(json.dumps(told | by_source | counts | {"notes": notes}, indent=2))
        return
    typer.echo("{row}, {data}: {metric}".format(**told))
    print_rows([{"figures": source} | line for source, line in lines.items()], as_json=False)
    for note in notes:
        typer.echo(note)


def _published(row: Table1Row) -> dict[str, Any]:
    paper, unknown = row.published, dict.fromkeys(("baseline", "DenoiseRep", "difference", "ci95"))
    if paper is None:
        return unknown
    difference = round(paper.result - paper.baseline, 2)
    return unknown | {"baseline": paper.baseline, "DenoiseRep": paper.result, "difference": difference}


def _on_own_data(measured: MeasuredRow) -> dict[str, Any]:
    from noisewise.studies import rounded

    difference, low, high = rounded(measured.difference)
    figures = {"baseline": round(measured.baseline, 2), "DenoiseRep": round(measured.result, 2)}
    return figures | {"difference": difference, "ci95": [low, high]}


def _notes(row: Table1Row, spec: str, measured: MeasuredRow) -> list[str]:
    """What the figures are, and what they are not."""
    published = "not verified here; read it in Table 1 of the paper, arXiv 2406.08773, and give it with --published"
    if row.published is not None:
        published = f"{row.published.network}, from {row.published.source}"
    return [
        f"published: {published}",
        f"measured: {spec} on {measured.test_images} clean test images; closed form, fitted without labels on "
        f"{measured.training_images} training images",
        f"layers denoised: {measured.layers}; left as they were: {measured.other_layers}",
    ]
