"""A network's weights on their way out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["save_weights"]


def save_weights(network: nn.Module, output: Path, *, overwrite: bool) -> None:
    """Write the state dict, whole or not at all."""
    from safetensors.torch import save

    from noisewise._files import write_atomically

    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(output, save(tensors, metadata={"format": "pt"}), overwrite=overwrite)
