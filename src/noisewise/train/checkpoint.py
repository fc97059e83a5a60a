"""Checkpoints of a training run as safetensors: network, moving average and optimiser; nothing is ever unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from noisewise._files import read_tensors, tensors_below, write_atomically
from noisewise.errors import CheckpointError

__all__ = ["Done", "load_checkpoint", "save_checkpoint"]


class Done(NamedTuple):
    """How far a run has come."""

    steps: int
    retreats: int = 0
    """How often it stepped back from a loss that was not finite; each halves the learning rate."""


def save_checkpoint(
    path: Path, done: Done, run: str, networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> None:
    """Write the state of the run identified by ``run``, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for prefix, network in networks.items():
        tensors |= {f"{prefix}/{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": tensor.contiguous() for slot, tensor in slots.items()}
    write_atomically(
        path,
        save(tensors, metadata={"step": str(done.steps), "retreats": str(done.retreats), "run": run}),
        overwrite=True,
    )


def load_checkpoint(path: Path, run: str, networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> Done:
    """Restore what :func:`save_checkpoint` wrote and return how far the run had come.

    Raises:
        CheckpointError: the file is damaged or belongs to another run.
    """
    try:
        tensors, metadata = read_tensors(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); delete it to start anew") from error
    if metadata.get("run") != run:
        raise CheckpointError(
            f"{path} belongs to a run with another recipe, seed or photographs; delete it, or choose another output"
        )
    for prefix, network in networks.items():
        network.load_state_dict(tensors_below(tensors, f"{prefix}/"))
    _restore_optimizer(optimizer, tensors_below(tensors, "optimizer/"))
    return Done(int(metadata["step"]), int(metadata.get("retreats", 0)))


def _restore_optimizer(optimizer: torch.optim.Optimizer, slots: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in slots.items():
        index, slot = name.split("/")
        state.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
