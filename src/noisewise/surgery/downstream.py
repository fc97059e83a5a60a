"""What becomes of a layer's output: normalised, added to something, rectified."""

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

__all__ = ["Downstream", "Summand", "find_downstream"]

_RECTIFIERS = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
_SUMS = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__, Tensor.__radd__)
_IDLE = (F.dropout, F.dropout2d, torch.dropout)
"""What hands its input on in evaluation mode."""


class Summand(NamedTuple):
    """Where the other side of a sum is to be had before the layer is called."""

    module: nn.Module
    is_output: bool
    """Whether the module gives it; else it is given it."""


@dataclass(frozen=True, eq=False)
class Downstream:
    """What becomes of the output ``y`` of a layer: ``z = scale y + shift + other``, or ``max(0, z)``.

    Attributes:
        scale: by channel, float64; of a batch normalisation in evaluation mode, or one.
        shift: likewise, or zero.
        is_rectified: whether nothing sees ``z`` but a rectifier.
        other: what is added; nothing if None.
        normalisation: its name, if there is one.
    """

    scale: Float[Tensor, " outputs"]
    shift: Float[Tensor, " outputs"]
    is_rectified: bool
    other: Summand | None = None
    normalisation: str | None = None

    def __str__(self) -> str:
        reached = "the output" if self.other is None else "the sum"
        return f"what a ReLU passes of {reached}" if self.is_rectified else reached


@torch.no_grad()
def find_downstream(model: nn.Module, layers: Sequence[Layer], inputs: Tensor) -> dict[str, Downstream]:
    """Run ``inputs`` through the network and follow what each layer gives; by names of layers.

    Left out are outputs that are used in several places or in other ways, and those that are only handed on.

    Args:
        model: in evaluation mode; left as it is.
        layers: of ``model``, each called once.
        inputs: as the network takes them.
    """
    trace = _Trace({id(norm.module.running_mean): norm.name for norm in find_normalisations(model)})
    plain = {layer.name: layer for layer in layers if not layer.is_attention}
    hooks = [module.register_forward_pre_hook(trace.note_input) for module in model.modules()]
    hooks += [module.register_forward_hook(trace.note_output) for module in model.modules()]
    hooks += [layer.module.register_forward_hook(partial(trace.note_layer, layer)) for layer in plain.values()]
    try:
        with trace:
            trace.note_result(model(inputs))
    finally:
        for hook in hooks:
            hook.remove()
    found = {name: trace.downstream(name, layer.channel_dim) for name, layer in plain.items() if name in trace.outputs}
    return {name: downstream for name, downstream in found.items() if downstream is not None}


@dataclass(frozen=True, eq=False)
class _Use:
    """A function that was given a tensor."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    result: Any


@dataclass
class _Path:
    """A tensor on its way, from the use at ``position`` on: what is written over keeps its identity."""

    uses: Mapping[int, list[_Use]]
    tensor: Tensor
    position: int = 0

    def use(self) -> _Use | None:
        """The only one from here, or the one that writes over the tensor."""
        ahead = self.uses[id(self.tensor)][self.position :]
        if ahead and ahead[0].function in _IDLE and ahead[0].result is self.tensor:
            self.position += 1
            return self.use()
        return ahead[0] if ahead and (len(ahead) == 1 or ahead[0].result is self.tensor) else None

    def follow(self, use: _Use) -> None:
        """Go on with the result."""
        self.tensor, uses = use.result, self.uses[id(use.result)]
        written_over = use in uses  # what it gives is then one of what it was given
        self.position = 1 + uses.index(use) if written_over else 0


class _Trace(TorchFunctionMode):
    """Notes what is made of every tensor, by its identity; all are kept, for a new one could take a place."""

    def __init__(self, normalisations: Mapping[int, str]) -> None:
        super().__init__()
        self.outputs: dict[str, Tensor] = {}
        self._normalisations = normalisations
        self._uses: dict[int, list[_Use]] = defaultdict(list)
        self._given: dict[tuple[nn.Module, bool], Tensor] = {}
        self._summands: dict[str, dict[int, tuple[Summand, int]]] = {}
        self._kept: list[Any] = []

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*arguments, **(options or {}))
        if result is None or any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            self._note(_Use(function, arguments, options or {}, result))  # others ask for its shape and the like
        return result

    def _note(self, use: _Use) -> None:
        self._kept.append(use)
        given = tree_leaves((use.arguments, use.options))
        for identity in {id(leaf) for leaf in given if isinstance(leaf, Tensor)}:
            self._uses[identity].append(use)

    def note_result(self, result: Any) -> None:
        """That the network gives it to whoever called."""
        self._note(_Use(type(self).note_result, (result,), {}, None))

    def note_input(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            self._given[module, False] = inputs[0]

    def note_output(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            self._given[module, True] = output

    def note_layer(self, layer: Layer, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.outputs[layer.name] = output
        self._summands[layer.name] = {
            id(tensor): (Summand(*place), len(self._uses[id(tensor)])) for place, tensor in self._given.items()
        }

    def downstream(self, name: str, channel_dim: int) -> Downstream | None:
        """What becomes of the output of a layer, if it is known."""
        path = _Path(self._uses, self.outputs[name])
        scale, shift, normalisation = self._normalised(path, channel_dim)
        use = path.use()
        other = None if use is None else self._other(name, use, path.tensor)
        if use is not None and other is not None:
            path.follow(use)
            use = path.use()
        is_rectified = use is not None and use.function in _RECTIFIERS
        return Downstream(scale, shift, is_rectified, other, normalisation) if is_rectified or other else None

    def _normalised(self, path: _Path, channel_dim: int) -> tuple[Tensor, Tensor, str | None]:
        """Scale, shift and name of a batch normalisation with statistics that comes next; the path passes it."""
        use, ones = path.use(), path.tensor.new_ones(path.tensor.shape[channel_dim], dtype=torch.float64)
        zeros = torch.zeros_like(ones)
        if use is None or use.function is not F.batch_norm or channel_dim % path.tensor.ndim != 1:
            return ones, zeros, None
        bound = inspect.signature(F.batch_norm).bind(*use.arguments, **use.options)
        bound.apply_defaults()
        given, defaults = bound.arguments, {"weight": ones, "bias": zeros}
        mean, variance = given["running_mean"], given["running_var"]
        if id(mean) not in self._normalisations:
            return ones, zeros, None
        path.follow(use)
        weight, bias = (default if given[n] is None else given[n].double() for n, default in defaults.items())
        scale = weight * (variance.double() + given["eps"]).rsqrt()
        return scale, bias - scale * mean, self._normalisations[id(mean)]

    def _other(self, name: str, use: _Use, tensor: Tensor) -> Summand | None:
        """The other side of a sum of two of the same shape, if a module had it when the layer was called."""
        if use.function not in _SUMS or use.options or len(use.arguments) != 2:
            return None
        others = [one for one in use.arguments if one is not tensor]
        if len(others) != 1 or not isinstance(others[0], Tensor) or others[0].shape != tensor.shape:
            return None
        other, uses = others[0], self._uses[id(others[0])]
        summand, since = self._summands[name].get(id(other), (None, 0))
        written_over = any(one.result is other for one in uses[since : uses.index(use)])
        return None if written_over else summand
