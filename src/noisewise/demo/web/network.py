"""The network that a visitor names and whose weights come along."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from noisewise.demo.web.limits import Limits
from noisewise.demo.web.uploads import require_kept
from noisewise.errors import ArgumentError, LimitError
from noisewise.models.backbones import load_backbone
from noisewise.models.preprocess import Preprocess

__all__ = ["image_size", "network_controls", "uploaded_network"]

_LIBRARIES = ("timm", "torchvision")
"""What builds networks and does nothing else: a factory of Python would run whatever a visitor names."""

_SHORTEST, _LONGEST = 8, 1024  # sides of an image that a network sees
_MOST_CLASSES = 100_000
_BYTES = 4  # a parameter in single precision


def network_controls() -> list[Any]:
    """Name and weights of a network."""
    name = gr.Textbox("timm:resnet18", label="Network", info="timm:NAME or torchvision:NAME.", max_lines=1)
    weights = gr.File(
        label="Its weights, .safetensors; without them it is random", file_types=[".safetensors"], height=150
    )
    return [name, weights]


def uploaded_network(name: str, weights: str | None, limits: Limits) -> nn.Module:
    """The network in evaluation mode, with its weights, or random.

    Raises:
        ArgumentError: of no library that is offered.
        LimitError: its weights would be larger than an upload may be.
        UnknownNameError: no such network.
        WeightsError: they cannot be read, or belong to another network.
    """
    name = name.strip()
    if name.partition(":")[0] not in _LIBRARIES:
        raise ArgumentError(
            f"expected a network of {' or '.join(_LIBRARIES)}, such as timm:resnet18, got {name!r}; the command line "
            "takes others"
        )
    if weights is not None and Path(weights).suffix != ".safetensors":
        raise ArgumentError(f"expected weights in a .safetensors file, got {Path(weights).name}; save them as one")
    _require_bearable(name, limits)
    if weights is not None:
        require_kept([weights], limits)
        _require_few_classes(Path(weights))
    with warnings.catch_warnings(action="ignore"):  # that it is random is said on the page
        return load_backbone(name, None if weights is None else Path(weights))


def image_size(size: float | None, preprocess: Preprocess) -> tuple[int, int]:
    """Height and width of the images: what the visitor says, or else the network.

    Raises:
        ArgumentError: neither does, or the side is no length.
    """
    if size is not None:
        if not _SHORTEST <= size <= _LONGEST:
            raise ArgumentError(
                f"expected a side of {_SHORTEST} to {_LONGEST} pixels, got {size:g}; leave it empty if unsure"
            )
        return int(size), int(size)
    if preprocess.size is None:
        raise ArgumentError("this network does not say which size its images have; give it under More")
    return preprocess.size


def _require_bearable(name: str, limits: Limits) -> None:
    """Counts the parameters without making room for them."""
    with warnings.catch_warnings(action="ignore"), torch.device("meta"):
        count = sum(parameter.numel() for parameter in load_backbone(name).parameters())
    if count * _BYTES > limits.bytes:
        raise LimitError(
            f"the network {name} has {count / 1e6:.0f} million parameters, larger than the "
            f"{limits.megabytes} MB that its weights may have; choose a smaller one"
        )


def _require_few_classes(weights: Path) -> None:
    """A head is built for as many classes as a file says, which costs nothing to say."""
    try:
        with safe_open(weights, "pt") as file:
            most = max((file.get_slice(key).get_shape() or [0])[0] for key in file.keys())  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError):
        return  # whoever loads it tells what is wrong
    if most > _MOST_CLASSES:
        raise LimitError(f"{weights.name} has a layer of {most} outputs, and {_MOST_CLASSES} are allowed here")
