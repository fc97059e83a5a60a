"""Hypothesis strategies for layers of every kind that can be operated on, and features that fit them."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from timm.layers import Conv2dSame
from torch import Tensor, nn

from noisewise._rng import make_generator
from noisewise.surgery import AffineMap, Layer, find_layers

__all__ = ["affine_map", "convolutions", "features_of", "linear_layers", "normal", "only_layer"]

MODES = ("zeros", "reflect", "replicate", "circular")


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=make_generator(seed))


def affine_map(groups: int, features: int, seed: int, *, offset: bool = True) -> AffineMap:
    """A random one near the identity."""
    matrix = torch.eye(features, dtype=torch.float64) + 0.5 * normal(groups, features, features, seed=seed)
    return AffineMap(matrix, normal(groups, features, seed=seed + 1) * offset)


def only_layer(module: nn.Module) -> Layer:
    """The one layer of a network that is a module and nothing else."""
    (layer,) = [layer for layer in find_layers(module) if not layer.reason]
    return layer


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Conv2d:
    """Groups, depthwise, windows, strides, dilations, all paddings, with and without bias; float64, random weights."""
    small = st.integers(1, 3)
    groups = draw(small)
    settings = {
        "kernel_size": draw(st.tuples(small, small)),
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "bias": draw(st.booleans()),
        "groups": groups,
    }
    padding = draw(st.sampled_from(["same", "valid"]) | st.tuples(st.integers(0, 2), st.integers(0, 2)))
    stride = (1, 1) if padding == "same" else draw(st.tuples(small, small))
    channels = groups * draw(small), groups * draw(small)
    kind = Conv2dSame if draw(st.integers(0, 7)) == 0 else nn.Conv2d
    if kind is nn.Conv2d:
        settings |= {"padding": padding, "padding_mode": draw(st.sampled_from(MODES))}
    return _randomised(kind(*channels, stride=stride, **settings), draw(st.integers(0, 2**31)))


@st.composite
def linear_layers(draw: st.DrawFn) -> nn.Linear:
    """Linear layers, float64, random weights."""
    size = st.integers(1, 5)
    return _randomised(nn.Linear(draw(size), draw(size), bias=draw(st.booleans())), draw(st.integers(0, 2**31)))


def features_of(layer: Layer, seed: int, *, images: int = 2) -> Tensor:
    """Standard normal input of a layer, its first dimension a multiple of ``images``."""
    if layer.is_convolution:
        return normal(images, layer.weight.shape[1] * layer.groups, 7, 8, seed=seed)
    return normal(images, 3, layer.weight.shape[1], seed=seed)


def _randomised(module: nn.Module, seed: int) -> nn.Module:
    generator = make_generator(seed)
    module = module.double().eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.normal_(generator=generator)
    return module
