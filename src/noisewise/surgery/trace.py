"""How a network calls its layers, seen on two images: in which order, how often, and whether images stay apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from noisewise.errors import SurgeryError
from noisewise.surgery.layers import Layer

__all__ = ["Call", "attends_to_itself", "first_input", "trace_calls"]

_SAME = 0.01


@dataclass
class Call:
    """What a layer saw.

    Attributes:
        order: of its first call among all layers, from 0.
        count: how often it was called in a pass.
        samples_apart: whether the first half of its input came from the first image and the second from the second.
        image_dependent: whether its input depends on the images at all.
        positional: whether its features always came as a positional argument, which is what hooks see.
        same_inputs: whether query, key and value of an attention were one tensor, and no mask was made for the batch;
            true for other layers.
    """

    order: int
    count: int = 0
    samples_apart: bool = False
    image_dependent: bool = True
    positional: bool = True
    same_inputs: bool = True
    inputs: list[Tensor] = field(default_factory=list, repr=False)


def first_input(layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """The features that a layer was called with.

    Raises:
        SurgeryError: they came as a keyword argument, which hooks do not see.
    """
    if not inputs:
        raise SurgeryError(f"layer {layer.name} is called with keyword arguments only; leave it out of the targets")
    return inputs[0]


def attends_to_itself(inputs: tuple[Any, ...]) -> bool:
    """Whether query, key and value among the inputs of an attention are one tensor, which its projection then sees."""
    return len(inputs) >= 3 and inputs[0] is inputs[1] is inputs[2]


@torch.inference_mode()
def trace_calls(model: nn.Module, layers: Sequence[Layer], first: Tensor, second: Tensor) -> dict[str, Call]:
    """Run two images in both orders and compare what each layer sees; layers that are never called are missing.

    Args:
        model: in evaluation mode; left as it is.
        layers: of ``model``.
        first: one image as a batch, as the network takes it.
        second: another one.

    Raises:
        SurgeryError: a layer saw values that are not finite.
    """
    calls: dict[str, Call] = {}
    handles = [layer.module.register_forward_pre_hook(_note(calls, layer), with_kwargs=True) for layer in layers]
    try:
        model(torch.cat([first, second]))
        for call in calls.values():
            call.count = len(call.inputs)
        model(torch.cat([second, first]))
    finally:
        for handle in handles:
            handle.remove()
    for layer in layers:
        if layer.name in calls and calls[layer.name].positional:
            _judge(calls[layer.name], layer)
    return calls


def _note(calls: dict[str, Call], layer: Layer) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def note(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        call = calls.setdefault(layer.name, Call(order=len(calls)))
        call.positional &= bool(inputs)
        call.inputs += inputs[:1]
        if layer.is_attention:
            call.same_inputs &= attends_to_itself(inputs) and not _masks_samples(inputs[3:], options)

    return note


def _masks_samples(others: tuple[Any, ...], options: dict[str, Any]) -> bool:
    given = dict(zip(("key_padding_mask", "need_weights", "attn_mask"), others, strict=False)) | options
    mask = given.get("attn_mask")
    return given.get("key_padding_mask") is not None or (mask is not None and mask.ndim == 3)


def _judge(call: Call, layer: Layer) -> None:
    forward, swapped, batch_dim = call.inputs[0], call.inputs[call.count], layer.batch_dim
    call.inputs = []
    if not forward.isfinite().all():
        raise SurgeryError(f"what layer {layer.name} sees is not finite; check the preprocessing, or run it in float32")
    call.image_dependent = forward.shape != swapped.shape or _distance(forward, swapped) > 0
    if forward.shape != swapped.shape or forward.ndim < 2 or forward.shape[batch_dim] % 2:
        return
    a, b = forward.chunk(2, dim=batch_dim)
    b_again, a_again = swapped.chunk(2, dim=batch_dim)
    scale = _SAME * _distance(a, b)
    call.samples_apart = _distance(a, a_again) <= scale and _distance(b, b_again) <= scale


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first.float() - second.float()).norm())
