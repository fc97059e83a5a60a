"""The hook that disturbs what a module gives, kept out of compiled graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from noisewise.errors import SurgeryError

__all__ = ["InjectionHook"]


class Disturbance(Protocol):
    """What decides whether, and how, the features of a place are disturbed."""

    @property
    def is_on(self) -> bool:
        """Whether they are."""

    def disturb(self, name: str, features: Tensor) -> Tensor:
        """The features of the place of this name, disturbed."""


class InjectionHook:
    """What PyTorch calls after the module at a place; an object and no closure, so that networks can be pickled."""

    def __init__(self, injection: Disturbance, name: str) -> None:
        self.injection, self.name = injection, name

    @torch.compiler.disable  # type: ignore[untyped-decorator] # generators cannot be traced
    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        """What the module gave, with its noise; the first of a tuple of tensors is disturbed."""
        if not self.injection.is_on:
            return output
        features = output[0] if isinstance(output, tuple) else output
        if not isinstance(features, Tensor) or not features.is_floating_point() or not 2 <= features.ndim <= 4:
            raise SurgeryError(f"the output of {self.name} is no batch of features; choose another place")
        noisy = self._disturbed(features, channels_last=_is_channels_last(module, features))
        return (noisy, *output[1:]) if isinstance(output, tuple) else noisy

    def _disturbed(self, features: Tensor, *, channels_last: bool) -> Tensor:
        if not channels_last:
            return self.injection.disturb(self.name, features)
        return self.injection.disturb(self.name, features.movedim(-1, 1)).movedim(1, -1)


def _is_channels_last(module: nn.Module, features: Tensor) -> bool:
    """Whether the features are ``B x H x W x C``, as in a Swin: the last dimension is as wide as a layer inside says.

    Where the second one is so, too, a block with convolutions, such as ConvNeXt's, has its channels there. Of a module
    without such layers nothing is known; it is taken as ``B x C x H x W``.
    """
    last = set(_widths_of_last_dimension(module))
    convolved = {part.out_channels for part in module.modules() if isinstance(part, nn.Conv2d)}
    second = last | convolved if convolved else set()
    return features.ndim == 4 and features.shape[-1] in last and features.shape[1] not in second


def _widths_of_last_dimension(module: nn.Module) -> Iterator[int]:
    """What the linear layers and layer norms inside leave there; timm's LayerNorm2d works on the second dimension."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            yield part.out_features
        elif isinstance(part, nn.LayerNorm) and not type(part).__name__.endswith("2d"):
            yield part.normalized_shape[-1]
