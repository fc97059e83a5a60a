"""What a layer multiplies its weights with: feature vectors, or windows of a feature map, at chosen positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from noisewise.surgery.layers import Layer

__all__ = ["gather_inputs", "gather_outputs", "positions_per_image"]

Rows = Float[Tensor, "rows groups features"]
Chosen = Int[Tensor, "images chosen"]


def positions_per_image(layer: Layer, output: Tensor, images: int) -> int:
    """How many vectors the layer puts out for each of ``images``: map positions, tokens, windows."""
    return output.numel() // output.shape[layer.channel_dim] // images


def gather_inputs(layer: Layer, features: Tensor, chosen: Chosen) -> Rows:
    """The vectors that the weights meet at the ``chosen`` positions of each image, ``R x G x D``.

    ``D`` is the group's number of input features times the window's size, in the order of the weight's own axes.
    """
    if isinstance(layer.module, nn.Conv2d):
        windows = _windows(layer.module, features)
        image, row, column = _unravel(chosen, len(features) // len(chosen), *windows.shape[2:4])
        rows = windows[image, :, row, column]  # R x C x H x W: the advanced indices come first
    else:
        rows = _vectors(layer, features, chosen)
    return rows.reshape(len(rows), layer.groups, -1)


def gather_outputs(layer: Layer, output: Tensor, chosen: Chosen) -> Rows:
    """The output vectors at the same positions, ``R x G x O``."""
    if layer.is_convolution:
        image, row, column = _unravel(chosen, len(output) // len(chosen), *output.shape[2:])
        rows = output[image, :, row, column]
    else:
        rows = _vectors(layer, output, chosen)
    return rows.reshape(len(rows), layer.groups, -1)


def _vectors(layer: Layer, features: Tensor, chosen: Chosen) -> Tensor:
    by_image = features.movedim(layer.batch_dim, 0).reshape(len(chosen), -1, features.shape[-1])
    return by_image.take_along_dim(chosen.unsqueeze(-1), dim=1).flatten(0, 1)


def _unravel(chosen: Chosen, parts: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Index along the batch, row and column; an image may have become ``parts`` consecutive entries of the batch."""
    first = torch.arange(len(chosen), device=chosen.device).unsqueeze(1) * parts
    part, place = chosen // (height * width), chosen % (height * width)
    return (first + part).flatten(), (place // width).flatten(), (place % width).flatten()


def _windows(module: nn.Conv2d, features: Tensor) -> Tensor:
    """All windows of a feature map as a view ``N x C x H' x W' x KH x KW`` of its padded copy."""
    padded = _padded(module, features)
    for axis, size in enumerate(module.kernel_size):
        span = module.dilation[axis] * (size - 1) + 1
        padded = padded.unfold(2 + axis, span, module.stride[axis])
    dilated: Tensor = padded[..., :: module.dilation[0], :: module.dilation[1]]
    return dilated


def _padded(module: nn.Conv2d, features: Tensor) -> Tensor:
    if type(module).__name__ == "Conv2dSame":
        from timm.layers.padding import pad_same

        same: Tensor = pad_same(features, list(module.kernel_size), list(module.stride), list(module.dilation))
        return same
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return F.pad(features, module._reversed_padding_repeated_twice, mode=mode)
