"""Batch normalisation, swallowed by the convolution or linear layer before it."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from noisewise.errors import SurgeryError
from noisewise.surgery.layers import find_layers, find_normalisations

__all__ = ["fold_batchnorm"]


def fold_batchnorm(model: nn.Module, example: Tensor | None = None) -> nn.Module:
    """A copy of ``model`` in which each batch normalisation that directly follows a layer is part of its weights.

    The normalisation becomes an identity, and the layer gets a bias if it had none, so the keys of the state dict
    change. Exact in evaluation mode. What is used more than once, or keeps no statistics, stays as it is.

    Args:
        model: in evaluation mode; left as it is.
        example: a batch as the network takes it. Without one, normalisations after linear layers stay: those of
            tokens ``N x L x F`` run over L, which is no matter of the layer's weights, and only a run shows which.

    Raises:
        SurgeryError: the network is in training mode, or cannot be traced symbolically.
    """
    if any(module.training for module in model.modules()):
        raise SurgeryError("expected a network in evaluation mode; call model.eval() first")
    folded = copy.deepcopy(model)
    try:
        traced = fx.symbolic_trace(folded)
    except Exception as reason:  # tracing runs the network's own code, which may raise anything
        raise SurgeryError(f"{type(model).__name__} cannot be traced to find its normalisations: {reason}") from reason
    if example is not None:
        with torch.no_grad():
            ShapeProp(traced).propagate(example)
    for normalisation, layer in _pairs(traced.graph, folded):
        _fold(normalisation, layer, folded)
    return folded


def _pairs(graph: fx.Graph, model: nn.Module) -> list[tuple[str, str]]:
    """Names of the normalisations that can be folded, and of the layers before them."""
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    once = {name for name, count in calls.items() if count == 1}
    layers = {layer.name for layer in find_layers(model) if not layer.reason} & once
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    normalisations = {norm.name for norm in find_normalisations(model) if isinstance(norm.module, kinds)} & once
    nodes = [node for node in graph.nodes if node.op == "call_module" and node.target in normalisations]
    befores = [(node, node.args[0]) for node in nodes if node.args and isinstance(node.args[0], fx.Node)]
    return [
        (str(node.target), str(before.target))
        for node, before in befores
        if before.op == "call_module" and before.target in layers and len(before.users) == 1
        if isinstance(model.get_submodule(str(before.target)), nn.Conv2d) or _is_flat(before)
    ]


def _is_flat(node: fx.Node) -> bool:
    """Whether its output is known to be ``N x F``."""
    seen = node.meta.get("tensor_meta")
    return seen is not None and len(seen.shape) == 2


def _fold(normalisation: str, layer: str, model: nn.Module) -> None:
    norm: Any = model.get_submodule(normalisation)
    module = model.get_submodule(layer)
    if isinstance(module, nn.Conv2d):
        model.set_submodule(layer, fuse_conv_bn_eval(module, norm))
    elif isinstance(module, nn.Linear):
        model.set_submodule(layer, fuse_linear_bn_eval(module, norm))
    else:
        return
    model.set_submodule(normalisation, nn.Identity())
