"""Layers whose output reaches nothing but a rectifier, at most through a batch normalisation."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from noisewise.surgery.layers import Layer, find_normalisations

__all__ = ["Rectifier", "find_rectifiers"]

_RECTIFIERS = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)


@dataclass(frozen=True, eq=False)
class Rectifier:
    """What becomes of the output ``y`` of a layer: ``max(0, scale y + shift)``, channel by channel.

    Attributes:
        scale: of a batch normalisation in evaluation mode, or one.
        shift: likewise, or zero.
        normalisation: its name, if there is one.
    """

    scale: Float[Tensor, " outputs"]
    shift: Float[Tensor, " outputs"]
    normalisation: str | None = None


@torch.no_grad()
def find_rectifiers(model: nn.Module, layers: Sequence[Layer], inputs: Tensor) -> dict[str, Rectifier]:
    """Run ``inputs`` through the network and follow what each layer gives; by the names of those with a rectifier.

    An output that is used for anything besides is left out, and so is one that takes another way, such as a sum.

    Args:
        model: in evaluation mode; left as it is.
        layers: of ``model``, each called once.
        inputs: as the network takes them.
    """
    outputs: dict[str, Tensor] = {}
    hooks = [
        layer.module.register_forward_hook(partial(_keep, outputs, layer.name))
        for layer in layers
        if not layer.is_attention
    ]
    followed = _Uses()
    try:
        with followed:
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    names = {id(norm.module.running_mean): norm.name for norm in find_normalisations(model)}
    dims = {layer.name: layer.channel_dim for layer in layers}
    found = {name: _rectifier(followed, output, dims[name], names) for name, output in outputs.items()}
    return {name: rectifier for name, rectifier in found.items() if rectifier is not None}


class _Use(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    result: Any


class _Uses(TorchFunctionMode):
    """Notes what is made of every tensor, by its identity; tensors are kept, for a new one could take a place."""

    def __init__(self) -> None:
        super().__init__()
        self._of: dict[int, list[_Use]] = defaultdict(list)

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*arguments, **(options or {}))
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            use = _Use(function, arguments, options or {}, result)
            for leaf in tree_leaves((arguments, options)):
                if isinstance(leaf, Tensor):
                    self._of[id(leaf)].append(use)
        return result

    def only(self, tensor: Tensor) -> _Use | None:
        """The only use of a tensor until something is written over it."""
        uses = self._of[id(tensor)]
        return uses[0] if uses and (len(uses) == 1 or uses[0].result is tensor) else None


def _keep(outputs: dict[str, Tensor], name: str, module: nn.Module, inputs: Any, output: Any) -> None:
    outputs[name] = output


def _rectifier(followed: _Uses, output: Tensor, channel_dim: int, names: Mapping[int, str]) -> Rectifier | None:
    use = followed.only(output)
    ones = output.new_ones(output.shape[channel_dim])
    if use is not None and use.function in _RECTIFIERS:
        return Rectifier(ones, torch.zeros_like(ones))
    if use is None or use.function is not F.batch_norm or channel_dim % output.ndim != 1:
        return None
    then = followed.only(use.result)
    if then is None or then.function not in _RECTIFIERS:
        return None
    bound = inspect.signature(F.batch_norm).bind(*use.arguments, **use.options)
    bound.apply_defaults()
    return _normalised(bound.arguments, ones, names)


def _normalised(given: Mapping[str, Any], ones: Tensor, names: Mapping[int, str]) -> Rectifier | None:
    """Of a batch normalisation with statistics, from what its function was given."""
    mean, variance = given["running_mean"], given["running_var"]
    if mean is None or id(mean) not in names:
        return None
    scale = (ones if given["weight"] is None else given["weight"]) * (variance + given["eps"]).rsqrt()
    shift = -scale * mean if given["bias"] is None else given["bias"] - scale * mean
    return Rectifier(scale.detach().clone(), shift.detach().clone(), names[id(mean)])
