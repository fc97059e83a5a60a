"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "NETWORKS",
    "Address",
    "Engine",
    "Inputs",
    "Json",
    "Network",
    "Output",
    "Overwrite",
    "Seed",
    "Sides",
    "Size",
    "Weights",
    "is_elsewhere",
    "parse_sides",
]

_LEAST_SIDE = 8
"""In pixels; of less no network makes anything."""

Inputs = Annotated[list[Path], typer.Argument(metavar="IN", help="Image files and folders.", show_default=False)]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", help="A file for a single input, otherwise a folder.", show_default=False),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist already.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]
NETWORKS = "timm:NAME, torchvision:NAME, hf:NAME, noisewise:NAME or package.module:factory"
"""The forms of a network's name, as help tells them."""

Network = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=f"{NETWORKS}.",
        show_default=False,
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="The network's state dict, .safetensors or .pt; without it the network is random.")
]
Engine = Annotated[
    str, typer.Option(metavar="local|ray", help="Where the work is done: here, or by the workers of a cluster of Ray.")
]
Address = Annotated[
    str | None, typer.Option(help="Of the cluster, such as auto or ray://head:10001; one is started here if none.")
]
Size = Annotated[
    int | None,
    typer.Option(min=_LEAST_SIDE, help="Side in pixels of the images you trained on.", show_default="the network's"),
]
Sides = Annotated[
    str | None,
    typer.Option(
        metavar="SIDE|HEIGHTxWIDTH", help="Of the images, in pixels.", show_default="the network's, or their own"
    ),
]


def is_elsewhere(engine: str, address: str | None) -> bool:
    """Whether the work goes to a cluster.

    Raises:
        ArgumentError: there is no such engine, or an address without a cluster.
    """
    from noisewise.errors import ArgumentError

    if engine not in ("local", "ray"):
        raise ArgumentError(f"expected --engine local or ray, got {engine!r}")
    if engine == "local" and address is not None:
        raise ArgumentError("--address is that of a cluster; pass --engine ray with it")
    return engine == "ray"


def parse_sides(text: str | None) -> tuple[int, int] | None:
    """Height and width in pixels from what `Sides` took.

    Raises:
        ArgumentError: it says neither one such number nor two.
    """
    from noisewise.errors import ArgumentError

    if text is None:
        return None
    sides = [int(side) for side in text.split("x")] if re.fullmatch(r"[0-9]{1,6}(x[0-9]{1,6})?", text) else [0]
    if min(sides) < _LEAST_SIDE:
        raise ArgumentError(
            f"expected --size SIDE or HEIGHTxWIDTH such as 256x128, of at least {_LEAST_SIDE} pixels, got {text!r}"
        )
    return sides[0], sides[-1]
