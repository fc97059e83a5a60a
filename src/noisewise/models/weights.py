"""Networks and their weights as safetensors: half precision in the file, single precision in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from safetensors.torch import save
from torch import nn

from noisewise.errors import WeightsError
from noisewise.models.denoiser import BlindDenoiser

__all__ = ["load_denoiser", "load_network", "load_with_architecture", "save_network", "state_dict_bytes"]

_SHIPPED = "denoiser.safetensors"
Network = TypeVar("Network", bound=nn.Module)


def state_dict_bytes(model: nn.Module) -> bytes:
    """The state dict as a safetensors file, in its own precision: it loads wherever the network does."""
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    return save(tensors, metadata={"format": "pt"})


def save_network(model: nn.Module, path: Path, *, architecture: dict[str, Any], notes: dict[str, str]) -> None:
    """Write the weights in float16, with what is needed to rebuild the network and ``notes`` on how they came to be."""
    tensors = {name: tensor.to("cpu", torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    path.write_bytes(save(tensors, metadata={"architecture": json.dumps(architecture), **notes}))


def load_denoiser(path: Path | None = None) -> BlindDenoiser:
    """The network from ``path``, or the one that ships with the package, in eval mode on the CPU.

    Raises:
        WeightsError: the file is missing, is not safetensors, or does not hold such a network.
    """
    return load_with_architecture(path)[0]


def load_with_architecture(path: Path | None = None) -> tuple[BlindDenoiser, dict[str, Any]]:
    """The same with the arguments that it was built with, for saving what becomes of it.

    Raises:
        WeightsError: as for :func:`load_denoiser`.
    """
    if path is not None:
        return _load(path)
    with as_file(files("noisewise.models") / "weights" / _SHIPPED) as shipped:
        return _load(shipped)


def load_network(
    path: Path, build: Callable[[dict[str, Any]], Network], kind: str = "a denoiser"
) -> tuple[Network, dict[str, Any]]:
    """What ``build`` makes of the architecture in the file, with its weights, and the architecture.

    Raises:
        WeightsError: the file is missing, is not safetensors, or does not hold such a network.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise WeightsError(f"expected network weights at {path}, found {found}; name a .safetensors file")
    try:
        with safetensors.safe_open(path, "pt") as file:
            architecture: dict[str, Any] = json.loads((file.metadata() or {})["architecture"])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a mapping
        model = build(architecture)
        model.load_state_dict(tensors)
    except (safetensors.SafetensorError, LookupError, ValueError, TypeError, RuntimeError, OSError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} does not hold {kind} written by noisewise ({first_line}); name a file of noisewise pretrain"
        ) from error
    return model.eval().requires_grad_(False), architecture


def _load(path: Path) -> tuple[BlindDenoiser, dict[str, Any]]:
    return load_network(path, _denoiser)


def _denoiser(architecture: dict[str, Any]) -> BlindDenoiser:
    if "modules" in architecture:
        raise ValueError("it is an encoder-decoder for a learner of one image to start from; try --method self2self")
    return BlindDenoiser(**architecture)
