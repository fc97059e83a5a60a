"""Batch normalisation, swallowed by the convolution or linear layer before it."""

from __future__ import annotations

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from noisewise.errors import SurgeryError

__all__ = ["fold_batchnorm"]


def fold_batchnorm(model: nn.Module) -> nn.Module:
    """A copy of ``model`` in which each batch normalisation that directly follows a layer is part of its weights.

    The normalisation becomes an identity, and the layer gets a bias if it had none, so the keys of the state dict
    change. Exact in evaluation mode.

    Args:
        model: in evaluation mode; left as it is.

    Raises:
        SurgeryError: the network is in training mode, or cannot be traced symbolically.
    """
    if model.training:
        raise SurgeryError("expected a network in evaluation mode; call model.eval() first")
    folded = copy.deepcopy(model)
    try:
        graph = fx.symbolic_trace(folded).graph
    except Exception as reason:
        raise SurgeryError(f"{type(model).__name__} cannot be traced to find its normalisations: {reason}") from reason
    modules = dict(folded.named_modules())
    for node in graph.nodes:
        _fold(node, folded, modules)
    return folded


def _fold(node: fx.Node, model: nn.Module, modules: dict[str, nn.Module]) -> None:
    normalisation = modules.get(str(node.target)) if node.op == "call_module" else None
    if not isinstance(normalisation, nn.BatchNorm1d | nn.BatchNorm2d):
        return
    before = node.args[0]
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
        return
    layer = modules[str(before.target)]
    if isinstance(layer, nn.Conv2d):
        model.set_submodule(str(before.target), fuse_conv_bn_eval(layer, normalisation))
    elif isinstance(layer, nn.Linear):
        model.set_submodule(str(before.target), fuse_linear_bn_eval(layer, normalisation))
    else:
        return
    model.set_submodule(str(node.target), nn.Identity())
