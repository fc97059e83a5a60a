"""``noisewise harden``: make a trained network robust to a noise, from unlabelled images."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from noisewise.cli.options import (
    Address,
    Engine,
    Json,
    Network,
    Overwrite,
    Seed,
    Sides,
    Weights,
    is_elsewhere,
    parse_sides,
)
from noisewise.cli.weights import check_weights_target, save_weights

if TYPE_CHECKING:
    from torch import nn

    from noisewise.contracts import Images
    from noisewise.data import ResizedImages
    from noisewise.methods.denoiserep import Hardened
    from noisewise.models.backbones import TaskName
    from noisewise.models.preprocess import Preprocess

__all__ = ["EXAMPLE", "command"]

_CHUNK_ELSEWHERE = 32

EXAMPLE = (
    "Example: noisewise harden timm:resnet18 --weights mine.safetensors --images photos/ "
    "--noise gaussian:sigma=20 -o hardened.safetensors"
)


def command(
    model: Network,
    images: Annotated[Path, typer.Option(help="Folder of unlabelled images, searched to any depth.")],
    noise: Annotated[
        list[str],
        typer.Option(
            help="What to harden against, as for `noisewise corrupt`; repeat it for several noises or levels."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Weights to write, a .safetensors state dict.")],
    weights: Weights = None,
    targets: Annotated[str, typer.Option(help="auto, last, or a regular expression of layer names.")] = "auto",
    clean_weight: Annotated[
        float, typer.Option(min=0, help="Weight of the clean view; more of it keeps more clean accuracy.")
    ] = 1.0,
    downstream: Annotated[
        bool,
        typer.Option("--downstream", help="Fit layers for what a ReLU or a sum makes of their output; takes longer."),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Images to use at most; a fifth of them measures agreement.",
            show_default="640, or what passes at once in free memory",
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(help="classification, segmentation or detection: what a kind of hf: network is built for.")
    ] = "classification",
    size: Sides = None,
    chunk: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images that pass at once, where memory is short; slower.",
            show_default=f"all of them, {_CHUNK_ELSEWHERE} on a cluster",
        ),
    ] = None,
    engine: Engine = "local",
    address: Address = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Harden a trained network against noise with no labels, no training and no slower inference.

    Every layer learns to give for noisy images what it gave for clean ones.
    The result has the same layers and loads wherever the network does.
    """
    from noisewise.data import ResizedImages, find_images, map_on_ray
    from noisewise.methods.denoiserep import MOST_IMAGES, images_that_fit
    from noisewise.models.backbones import load_backbone
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.noise import parse_noise

    elsewhere = is_elsewhere(engine, address)
    for spec in noise:
        parse_noise(spec)  # a slip in it is told before any work
    check_weights_target(output, overwrite=overwrite)
    paths = [source.path for source in find_images([images])]
    network = load_backbone(model, weights, _task(task))
    preprocess = resolve_preprocess(network)
    sides = _sides(parse_sides(size), preprocess)
    if elsewhere and chunk is None:
        chunk = _CHUNK_ELSEWHERE
    most = limit or (MOST_IMAGES if chunk else images_that_fit(network, preprocess, sides, views=2 + len(noise)))
    chosen = ResizedImages.sample(paths, sides, most)
    options = {
        "targets": targets,
        "clean_weight": clean_weight,
        "downstream": downstream,
        "chunk": chunk,
        "seed": seed,
    }
    with map_on_ray(address) if elsewhere else nullcontext(map) as spread:
        unlabelled = chosen if elsewhere else _read(chosen)
        hardened = _hardened(network, unlabelled, noise, preprocess, options | {"spread": spread})
    save_weights(hardened.network, output, overwrite=overwrite)
    result: dict[str, Any] = {
        "output": str(output),
        "images": hardened.images,
        "seconds": round(hardened.seconds, 2),
        "preprocess": preprocess.source,
        "size": sides,
        "agreement": {"before": hardened.before, "after": hardened.after, "images": hardened.kept_apart},
        "layers": [row._asdict() for row in hardened.layers],
    }
    _report(result, as_json=as_json)


def _task(name: str) -> TaskName:
    from noisewise.errors import ArgumentError
    from noisewise.models.backbones import TaskName

    if name not in get_args(TaskName):
        raise ArgumentError(f"expected --task {', '.join(get_args(TaskName))}, got {name!r}")
    return cast("TaskName", name)


def _sides(size: tuple[int, int] | None, preprocess: Preprocess) -> tuple[int, int]:
    from noisewise.errors import ArgumentError

    if size is not None:
        return size
    if preprocess.size is None:
        raise ArgumentError("this network does not say which size its images have; give it with --size")
    return preprocess.size


def _read(images: ResizedImages) -> Images:
    from noisewise.cli.batch import counting

    with counting("reading", "images") as tick:
        return images.load(tick)


def _hardened(
    network: nn.Module,
    images: Images | ResizedImages,
    noise: list[str],
    preprocess: Preprocess,
    options: dict[str, Any],
) -> Hardened:
    from noisewise.cli.batch import counting
    from noisewise.methods.denoiserep import harden

    with counting("fitting", "layers") as tick:
        return harden(network, images, noise, preprocess, progress=tick, **options)


def _report(result: dict[str, Any], *, as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    from rich.table import Column, Table

    from noisewise.cli.batch import console

    table = Table(Column("layer", overflow="fold"), "kind", "what was done", box=None)
    for row in result["layers"]:
        table.add_row(row["name"], row["kind"], row["status"])
    console.print(table)
    agreement = result["agreement"]
    height, width = result["size"]
    typer.echo(f"preprocessing: {result['preprocess']}; images of {height}x{width} pixels", err=True)
    kept = "measure it with: noisewise evaluate detection"
    if agreement["before"] is not None:
        kept = (
            f"of {agreement['images']} others, {agreement['before']} % kept their clean answer under noise before, "
            f"{agreement['after']} % do now"
        )
    typer.echo(f"{result['output']}: fitted on {result['images']} images in {result['seconds']} s; {kept}")
    if agreement["before"] is not None and agreement["after"] < agreement["before"]:
        worse = "fewer than before: take more images, a larger --clean-weight, or a network that is trained"
        typer.echo(f"note: {worse}", err=True)
