"""``noisewise adapt``: train a vision transformer on one domain's labels and another domain's images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.labelled import in_memory
from noisewise.cli.options import Json, Network, Overwrite, Seed, Size, Weights
from noisewise.cli.places import Inject, parse_places
from noisewise.cli.rows import print_rows
from noisewise.cli.training import shown_training
from noisewise.cli.weights import check_weights_target, save_weights, told_of_full_disks

if TYPE_CHECKING:
    from torch import nn

    from noisewise.methods.adaptation import Adaptation
    from noisewise.models.preprocess import Preprocess
    from noisewise.train.classifier import LabelledPixels

__all__ = ["EXAMPLE", "command"]

EXAMPLE = (
    "Example: noisewise adapt timm:vit_tiny_patch16_224 --weights mine.safetensors --source amazon/ --target webcam/ "
    "-o adapted.safetensors --inject last=circular:strength=0.3"
)


def command(
    model: Network,
    source: Annotated[Path, typer.Option(help="Labelled images, a folder for each class.")],
    target: Annotated[
        Path,
        typer.Option(
            help="Images of the other domain, at any depth; folders named like classes serve to measure only."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Weights to write, a .safetensors state dict.")],
    weights: Weights = None,
    objective: Annotated[str, typer.Option(help="tvt, dann or source_only.")] = "tvt",
    inject: Inject = None,
    steps: Annotated[int, typer.Option(min=1, help="Of training.")] = 1000,
    batch_size: Annotated[int, typer.Option(min=2, help="Images of each domain in a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(min=0, help="The greatest.")] = 3e-4,
    size: Size = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Adapt a vision transformer to a domain without labels (TVT); Ctrl-C and run again to resume.

    Noise, if any, is on in training only.
    Load what tvt writes into noisewise.methods.adaptation.transferable(network).
    """
    from noisewise._rng import initialised
    from noisewise.methods.adaptation import OBJECTIVES, Adaptation, require_adaptable
    from noisewise.models.backbones import load_backbone
    from noisewise.models.preprocess import resolve_preprocess
    from noisewise.train import Schedule

    check_weights_target(output, overwrite=overwrite)
    aim, noise = OBJECTIVES[objective], parse_places(inject)
    network = initialised(lambda: load_backbone(model, weights), seed)
    preprocess = resolve_preprocess(network)
    side = _side(size, preprocess)
    schedule = Schedule(steps, batch_size, side, learning_rate, warmup=steps // 10, decay=0.5, ema=0.99)
    how = Adaptation(aim, schedule, noise, seed)
    require_adaptable(network, how)
    classes, known, unknown = _read(source, target, side)
    _fit_head(network, len(classes), seed)
    trained = _adapted(network, known, unknown, how, preprocess, output)
    save_weights(trained, output, overwrite=overwrite)
    _checkpoint(output).unlink(missing_ok=True)
    rows = [_accuracy(name, trained, data, preprocess) for name, data in (("trained on", known), ("target", unknown))]
    print_rows(rows, as_json=as_json)


def _side(size: int | None, preprocess: Preprocess) -> int:
    from noisewise.errors import ArgumentError

    if size is None and preprocess.size is None:
        raise ArgumentError("this network does not say which size its images have; give it with --size")
    return size if size is not None else min(preprocess.size or ())


def _read(source: Path, target: Path, side: int) -> tuple[tuple[str, ...], LabelledPixels, LabelledPixels]:
    """Names of the classes, and both domains in memory.

    Raises:
        ArgumentError: there is one class only.
    """
    from noisewise.data.classification import CLASSIFICATION_DATASETS, resize_and_crop
    from noisewise.data.domains import labelled_by_folder
    from noisewise.errors import ArgumentError

    transform = resize_and_crop(side, share=1.0)
    known = CLASSIFICATION_DATASETS["folder"](source, transform=transform)
    if len(known.classes) < 2:
        raise ArgumentError(
            f"expected a folder for each of several classes in {source}, found only {known.classes[0]!r}; name the "
            f"folder that holds them, such as {source / known.classes[0]}"
        )
    unknown = labelled_by_folder(target, known.classes, transform=transform)
    return known.classes, in_memory(known, "source"), in_memory(unknown, "target")


def _fit_head(network: Any, classes: int, seed: int) -> None:
    """A new classifier where the source has other classes than the network."""
    from noisewise._rng import initialised

    if network.num_classes != classes:
        typer.echo(f"the network's classifier has {network.num_classes} outputs; a new one for {classes}", err=True)
        initialised(lambda: network.reset_classifier(classes), seed)


def _adapted(
    network: nn.Module,
    known: LabelledPixels,
    unknown: LabelledPixels,
    how: Adaptation,
    preprocess: Preprocess,
    output: Path,
) -> nn.Module:
    from noisewise.methods.adaptation import adapt

    with told_of_full_disks(output), shown_training(how.schedule.steps) as progress:
        checkpoint = _checkpoint(output)
        return adapt(
            network, known, unknown.images, how, preprocess=preprocess, checkpoint=checkpoint, progress=progress
        )


def _checkpoint(output: Path) -> Path:
    return output.with_name(f"{output.name}.checkpoint")


def _accuracy(name: str, network: nn.Module, data: LabelledPixels, preprocess: Preprocess) -> dict[str, Any]:
    """Top-1 in percent over the images whose class is known."""
    import torch

    from noisewise.measure.statistics import bootstrap_mean
    from noisewise.studies import rounded
    from noisewise.tasks.classification import evaluate

    known = data.labels >= 0
    if not known.any():
        return {"images": name, "number": 0}
    batches = zip(torch.split(data.images[known] / 255, 64), torch.split(data.labels[known], 64), strict=True)
    hits = 100 * evaluate(network, list(batches), preprocess=preprocess).top1.double()
    mean, low, high = rounded(bootstrap_mean(hits.tolist(), seed=0))
    return {"images": name, "number": int(known.sum()), "top1": mean, "low": low, "high": high}
