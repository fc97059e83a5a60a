"""The way in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

from torch import nn

from noisewise._registry import Registry
from noisewise.methods.denoiserep.branched import Branched
from noisewise.methods.denoiserep.handle import Handle, require_evaluation
from noisewise.methods.denoiserep.paired import Paired
from noisewise.surgery import Targets, select_layers

__all__ = ["MODES", "attach"]

MODES: Registry[Callable[..., Handle]] = Registry("mode")
"""``ddpm``: the paper's reverse steps. ``wiener``: one optimal step. ``paired``: hardening on noisy views."""

MODES.register("ddpm")(Branched)
MODES.register("wiener")(lambda model, layers, **options: Branched(model, layers, wiener=True, **options))
MODES.register("paired")(Paired)


@overload
def attach(model: nn.Module, targets: Targets = "auto", *, mode: Literal["paired"], **options: Any) -> Paired: ...


@overload
def attach(
    model: nn.Module, targets: Targets = "auto", *, mode: Literal["ddpm", "wiener"] = "ddpm", **options: Any
) -> Branched: ...


def attach(model: nn.Module, targets: Targets = "auto", *, mode: str = "ddpm", **options: Any) -> Handle:
    """Choose the layers of ``model`` that are to be denoised, and how.

    Args:
        model: a trained network in evaluation mode; it is never changed.
        targets: see :func:`noisewise.surgery.select_layers`.
        mode: ``"ddpm"`` or ``"wiener"``, see :class:`Branched`, to be fitted with ``fit`` or ``fit_sgd``; ``"paired"``,
            see :class:`Paired`, to be fitted with ``fit_paired``.
        options: of the mode's class.

    Raises:
        ArgumentError: the network is in training mode, or an option has no such value.
        SurgeryError: no layer can be handled.
    """
    handle = MODES[mode]
    require_evaluation(model)
    return handle(model, select_layers(model, targets), **options)
