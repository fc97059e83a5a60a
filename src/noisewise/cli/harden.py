"""``noisewise harden``: make a trained network robust to a noise, from unlabelled images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from noisewise.cli.options import Json, Network, Overwrite, Seed, Size, Weights
from noisewise.cli.weights import check_weights_target, save_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from noisewise.methods.denoiserep import Paired
    from noisewise.models.backbones import TaskName
    from noisewise.models.preprocess import Preprocess

__all__ = ["EXAMPLE", "command"]

EXAMPLE = (
    "Example: noisewise harden timm:resnet18 --weights mine.safetensors --images photos/ "
    "--noise gaussian:sigma=20 -o hardened.safetensors"
)

_KEPT_APART = 0.2
_MOST = 640


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
    size: Size = None,
    chunk: Annotated[
        int | None, typer.Option(min=1, help="Images that pass at once, where memory is short; slower.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Harden a trained network against noise with no labels, no training and no slower inference.

    Every layer learns to give for noisy images what it gave for clean ones.
    The result has the same layers and loads wherever the network does.
    """
    from noisewise.methods.denoiserep import attach
    from noisewise.models.backbones import load_backbone
    from noisewise.models.preprocess import network_input, resolve_preprocess

    check_weights_target(output, overwrite=overwrite)
    network = load_backbone(model, weights, _task(task))
    preprocess = resolve_preprocess(network)
    sides = _sides(size, preprocess)
    most = limit or (_MOST if chunk else _that_fit(network, preprocess, sides, views=2 + len(noise)))
    pixels = _load_images(images, sides, most)
    kept_apart = max(1, round(_KEPT_APART * len(pixels)))
    start = time.perf_counter()
    handle = attach(network, targets, mode="paired")
    _fit(handle, pixels[kept_apart:], noise, preprocess, clean_weight=clean_weight, chunk=chunk, seed=seed)
    seconds = time.perf_counter() - start
    hardened = handle.fuse(check=network_input(network, pixels[:2], preprocess))
    agreement = [_agreement(net, network, pixels[:kept_apart], noise, preprocess) for net in (network, hardened)]
    save_weights(hardened, output, overwrite=overwrite)
    result: dict[str, Any] = {
        "output": str(output),
        "images": len(pixels) - kept_apart,
        "seconds": round(seconds, 2),
        "preprocess": preprocess.source,
        "agreement": {"before": agreement[0], "after": agreement[1], "images": kept_apart},
        "layers": [row._asdict() for row in handle.table()],
    }
    _report(result, as_json=as_json)


def _task(name: str) -> TaskName:
    from noisewise.errors import ArgumentError
    from noisewise.models.backbones import TaskName

    if name not in get_args(TaskName):
        raise ArgumentError(f"expected --task {', '.join(get_args(TaskName))}, got {name!r}")
    return cast("TaskName", name)


def _sides(size: int | None, preprocess: Preprocess) -> tuple[int, int]:
    from noisewise.errors import ArgumentError

    if size is not None:
        return size, size
    if preprocess.size is None:
        raise ArgumentError("this network does not say which size its images have; give it with --size")
    return preprocess.size


def _that_fit(network: nn.Module, preprocess: Preprocess, sides: tuple[int, int], *, views: int) -> int:
    """How many images can pass at once, at a guess of twice the largest layer for what lives beside it."""
    import psutil
    import torch

    from noisewise.models.preprocess import network_input
    from noisewise.surgery import activation_bytes

    one = activation_bytes(network, network_input(network, torch.rand(1, 3, *sides), preprocess))
    fitting = int(psutil.virtual_memory().available) // (3 * views * one)
    return max(2, min(_MOST, fitting))


def _load_images(folder: Path, sides: tuple[int, int], limit: int) -> Tensor:
    import torch

    from noisewise._rng import make_generator
    from noisewise.cli.batch import progress_bar
    from noisewise.data import find_images
    from noisewise.data.resized import load_resized
    from noisewise.errors import DatasetError

    paths = [source.path for source in find_images([folder])]
    if len(paths) < 2:
        raise DatasetError(f"expected at least two images in {folder}, found {len(paths)}; some hundreds are better")
    chosen = [paths[i * len(paths) // min(limit, len(paths))] for i in range(min(limit, len(paths)))]
    order = torch.randperm(len(chosen), generator=make_generator(0)).tolist()
    with progress_bar("images") as bar:
        return torch.stack([load_resized(chosen[i], sides) for i in bar.track(order, description="reading")])


def _fit(handle: Paired, pixels: Tensor, noise: list[str], preprocess: Preprocess, **options: Any) -> None:
    from noisewise.cli.batch import progress_bar

    with progress_bar("layers") as bar:
        task = bar.add_task("fitting", total=None)
        handle.fit_paired(
            pixels,
            noise,
            preprocess=preprocess,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            **options,
        )


def _agreement(
    network: nn.Module, reference: nn.Module, pixels: Tensor, noise: list[str], preprocess: Preprocess
) -> float | None:
    """Share of noisy images, or of their pixels, in percent, with the answer of the reference for the clean ones.

    None of a detector, whose answers for two images are no pairs.
    """
    import torch

    from noisewise._rng import make_generator
    from noisewise.models.backbones import logits
    from noisewise.models.preprocess import network_input
    from noisewise.noise import parse_noise

    with torch.inference_mode():
        first = network(network_input(network, pixels[:1], preprocess))
    if isinstance(first, list) or hasattr(first, "pred_boxes"):
        return None

    def answers(model: nn.Module, images: Tensor) -> Tensor:
        inputs = (network_input(model, part, preprocess) for part in torch.split(images, 32))
        return torch.cat([logits(model(part)).argmax(1).cpu() for part in inputs])

    noisy = torch.cat([parse_noise(spec)(pixels, generator=make_generator(1)) for spec in noise])
    with torch.inference_mode():
        kept = answers(network, noisy) == torch.cat([answers(reference, pixels)] * len(noise))
    return round(100 * float(kept.float().mean()), 1)


def _report(result: dict[str, Any], *, as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    from rich.table import Table

    from noisewise.cli.batch import console

    table = Table("layer", "kind", "what was done", box=None)
    for row in result["layers"]:
        table.add_row(row["name"], row["kind"], row["status"])
    console.print(table)
    agreement = result["agreement"]
    typer.echo(f"preprocessing: {result['preprocess']}", err=True)
    kept = "measure it with: noisewise evaluate detection"
    if agreement["before"] is not None:
        kept = (
            f"of {agreement['images']} others, {agreement['before']} % kept their clean answer under noise before, "
            f"{agreement['after']} % do now"
        )
    typer.echo(f"{result['output']}: fitted on {result['images']} images in {result['seconds']} s; {kept}")
