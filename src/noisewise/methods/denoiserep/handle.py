"""What all fitted denoisings of a network share: a table of its layers, fusing with a check, patches."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from noisewise.errors import ArgumentError, SurgeryError
from noisewise.surgery import Layer, replace_weights, save_patch

__all__ = ["Handle", "LayerRow", "network_inputs", "require_evaluation"]

_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


class LayerRow(NamedTuple):
    """A line of the table of layers."""

    name: str
    kind: str
    shape: tuple[int, ...]
    status: str
    """What was done, or why nothing."""


class Handle(ABC):
    """A network with denoised layers, not yet fused: callable like the network, which it leaves alone.

    Attributes:
        model: the network as it came.
        layers: all its layers with a weight matrix, the untouched ones with the reason.
    """

    def __init__(self, model: nn.Module, layers: Sequence[Layer]) -> None:
        self.model = model
        self.layers = list(layers)

    @property
    def attached(self) -> list[Layer]:
        """The layers that are denoised."""
        return [layer for layer in self.layers if not layer.reason]

    @abstractmethod
    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The network's output with its layers denoised."""

    @abstractmethod
    def new_weights(self) -> dict[str, Tensor]:
        """State-dict entries of the fused network that differ from the present ones."""

    @abstractmethod
    def status(self, layer: Layer) -> str:
        """What was done to an attached layer."""

    @abstractmethod
    def _restrict(self, layer: Layer) -> None:
        """Keep nothing of the fit but what also holds when ``layer`` alone is denoised."""

    @property
    @abstractmethod
    def _order(self) -> list[str]:
        """Names of the fitted layers in the order in which they are called; none before the fit."""

    def table(self) -> list[LayerRow]:
        """Every layer with a weight matrix, and what becomes of it."""
        return [
            LayerRow(layer.name, type(layer.module).__name__, _shape(layer), layer.reason or self.status(layer))
            for layer in self.layers
        ]

    @property
    def last_only(self) -> Self:
        """The same with nothing but the last layer denoised (the paper's DenoiseRep-).

        Pairs must be fitted again, since the other layers are then as they were.
        """
        name = self._order[-1] if self._order else self.attached[-1].name
        last = next(layer for layer in self.attached if layer.name == name)
        restricted = copy.copy(self)
        restricted.layers = [_only(layer, last) for layer in self.layers]
        restricted._restrict(last)
        return restricted

    def fuse(self, check: Any = None, *, tolerance: float | None = None) -> nn.Module:
        """A copy of the network with the denoising in its weights: ordinary modules, the same keys, no extra work.

        Args:
            check: a batch, or a pair of it and labels; the copy must then do with it what this handle does.
            tolerance: greatest relative difference; 1e-12 in double precision, 1e-5 in single, 0.05 below.

        Raises:
            SurgeryError: it was not fitted yet, or the check fails.
        """
        fused = copy.deepcopy(self.model)
        replace_weights(fused, self.new_weights())
        if check is not None:
            self._check(fused, check, tolerance)
        return fused

    def added_biases(self) -> list[str]:
        """Keys that the fused network has and the original has not."""
        return sorted(self.new_weights().keys() - self.model.state_dict().keys())

    def save_patch(self, path: Path, notes: Mapping[str, str] | None = None) -> None:
        """Write the change as a patch for :func:`noisewise.surgery.apply_patch`."""
        save_patch(path, self.model, self.fuse(), notes)

    @torch.inference_mode()
    def _check(self, fused: nn.Module, batch: Any, tolerance: float | None) -> None:
        inputs = network_inputs(batch)
        pairs = list(zip(_floating(self(inputs)), _floating(fused(inputs)), strict=True))
        error = max((_relative_error(came, expected) for expected, came in pairs), default=0.0)
        dtype = pairs[0][0].dtype if pairs else torch.float32
        allowed = _TOLERANCE.get(dtype, 0.05) if tolerance is None else tolerance
        if not error <= allowed:
            raise SurgeryError(
                f"the fused network differs from the branched one by {error:.1e} of its greatest output, more than "
                f"{allowed:.0e}; fuse in float64, or leave out layers of the table"
            )


def _floating(output: Any) -> list[Tensor]:
    """All that a network says in floating numbers: logits, or boxes, scores and masks."""
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def _relative_error(came: Tensor, expected: Tensor) -> float:
    """Of the greatest value; infinite where the shapes differ."""
    if came.shape != expected.shape:
        return math.inf
    if not expected.numel():
        return 0.0
    return float((came - expected).abs().max() / expected.abs().max().clamp_min(torch.finfo(expected.dtype).tiny))


def network_inputs(batch: Any) -> Any:
    """The images of a batch that may come with labels."""
    return batch[0] if isinstance(batch, list | tuple) else batch


def require_evaluation(model: nn.Module) -> None:
    """Refuse a network in training mode, whose layers see noise of their own and move their statistics.

    Raises:
        ArgumentError: some module is in training mode, or on a device without double precision.
    """
    if any(parameter.device.type == "mps" for parameter in model.parameters()):
        raise ArgumentError("fits and fusions are computed in float64, which mps has not; call model.cpu() first")
    training = next((name for name, module in model.named_modules() if module.training), None)
    if training is not None:
        raise ArgumentError(
            f"expected {type(model).__name__} in evaluation mode, but {training or 'it'} is in "
            "training mode; call model.eval() first"
        )


def _only(layer: Layer, kept: Layer) -> Layer:
    return layer if layer is kept or layer.reason else replace(layer, reason="not the last layer")


def _shape(layer: Layer) -> tuple[int, ...]:
    return tuple(layer.weight.shape) if not layer.reason else ()
