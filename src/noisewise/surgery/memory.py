"""How much memory a pass of a network takes, seen on one image, and how much there is."""

from __future__ import annotations

from typing import Any

import psutil
import torch
from torch import Tensor, nn

__all__ = ["activation_bytes", "free_bytes"]


def free_bytes(device: torch.device) -> int:
    """Memory that is free where tensors of ``device`` live; that of the machine for devices that do not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


@torch.no_grad()
def activation_bytes(model: nn.Module, image: Tensor) -> int:
    """The most bytes that the input and output of one layer take together.

    Args:
        model: in evaluation mode; left as it is.
        image: one image as a batch, as the network takes it.
    """
    most = 0

    def note(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal most
        tensors = [value for value in (*inputs, output) if isinstance(value, Tensor)]
        most = max(most, sum(value.numel() * value.element_size() for value in tensors))

    leaves = [module for module in model.modules() if not any(module.children())]
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    return most
