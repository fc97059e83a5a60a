"""Which layers: all, the last, by name, by pattern, by predicate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from torch import nn

from noisewise.errors import SurgeryError
from noisewise.surgery.layers import Layer, find_layers

__all__ = ["Targets", "select_layers"]

Targets = str | re.Pattern[str] | Iterable[str] | Callable[[str, nn.Module], bool]
"""``"auto"`` (all), ``"last"``, a regular expression that a name must contain, names, or a predicate."""


def select_layers(model: nn.Module, targets: Targets = "auto") -> list[Layer]:
    """All layers of ``model`` with a weight matrix; those that are not among the targets, or refused, say why.

    Args:
        model: any network.
        targets: ``"auto"`` for all that can be handled, ``"last"`` for the last of them in the order of definition, a
            regular expression searched for in the names, names themselves, or a predicate of name and module.

    Raises:
        SurgeryError: nothing that can be handled was selected, or a name does not exist.
    """
    layers = find_layers(model)
    wanted = _predicate(layers, targets)
    selected = [layer if wanted(layer) else _passed_over(layer) for layer in layers]
    if all(layer.reason for layer in selected):
        found = "; ".join(f"{layer.name or type(model).__name__}: {layer.reason}" for layer in selected[:5])
        raise SurgeryError(
            f"no layer of {type(model).__name__} can be handled by targets={targets!r}: {found or 'it has none'}"
        )
    return selected


def _passed_over(layer: Layer) -> Layer:
    return layer if layer.reason else replace(layer, reason="not among the targets")


def _predicate(layers: Sequence[Layer], targets: Targets) -> Callable[[Layer], bool]:
    if callable(targets):
        return lambda layer: bool(targets(layer.name, layer.module))
    if isinstance(targets, str | re.Pattern):
        return _by_pattern(layers, targets)
    names = set(targets)
    if unknown := names - {layer.name for layer in layers}:
        known = ", ".join(layer.name for layer in layers[:8])
        raise SurgeryError(f"there is no layer called {sorted(unknown)[0]!r}; the first ones are {known}")
    return lambda layer: layer.name in names


def _by_pattern(layers: Sequence[Layer], pattern: str | re.Pattern[str]) -> Callable[[Layer], bool]:
    if pattern == "auto":
        return lambda layer: True
    if pattern == "last":
        last = next((layer for layer in reversed(layers) if not layer.reason), None)
        return lambda layer: layer is last
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SurgeryError(f"expected a regular expression of layer names, got {pattern!r}: {error}") from None
    return lambda layer: compiled.search(layer.name) is not None
