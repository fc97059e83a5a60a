"""A change of weights as a file that knows which network it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from noisewise._files import read_tensors, tensors_below, write_atomically
from noisewise.errors import PatchError
from noisewise.surgery.layers import replace_weights

__all__ = ["apply_patch", "fingerprint", "revert_patch", "save_patch"]

_OLD, _NEW = "old/", "new/"


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of names, shapes, dtypes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_patch(path: Path, before: nn.Module, after: nn.Module, notes: Mapping[str, str] | None = None) -> None:
    """Write the difference between two networks of one architecture: old and new values of what changed.

    Args:
        path: the safetensors file.
        before: the network that the patch will be applied to.
        after: what it shall become; it may have biases that ``before`` has not.
        notes: kept in the file's metadata.

    Raises:
        PatchError: ``after`` lacks something that ``before`` has.
    """
    old, new = before.state_dict(), after.state_dict()
    if missing := old.keys() - new.keys():
        raise PatchError(f"expected a network with the keys of the first, but {sorted(missing)[0]} is missing")
    changed = [name for name in new if name not in old or not torch.equal(old[name], new[name].to(old[name]))]
    tensors = {_NEW + name: _apart(new[name]) for name in changed}
    tensors |= {_OLD + name: _apart(old[name]) for name in changed if name in old}
    stamps = {"before": fingerprint(before), "after": fingerprint(after)}
    write_atomically(path, save(tensors, metadata={**(notes or {}), **stamps}), overwrite=True)


def apply_patch(model: nn.Module, path: Path) -> list[str]:
    """Change ``model`` in place to what the patch makes of it, and return the biases that were added.

    Raises:
        PatchError: the file is no patch, or belongs to another network.
    """
    tensors, metadata = _read(path)
    _check(model, metadata["before"], path, "made for")
    return replace_weights(model, tensors_below(tensors, _NEW))


def revert_patch(model: nn.Module, path: Path) -> None:
    """Undo :func:`apply_patch`, bit for bit, in place.

    Raises:
        PatchError: the file is no patch, or ``model`` is not what it makes.
    """
    tensors, metadata = _read(path)
    _check(model, metadata["after"], path, "the result of")
    old = tensors_below(tensors, _OLD)
    replace_weights(model, old)
    for name in tensors_below(tensors, _NEW).keys() - old.keys():
        owner, _, attribute = name.rpartition(".")
        model.get_submodule(owner).register_parameter(attribute, None)


def _apart(tensor: Tensor) -> Tensor:
    """A copy that shares no memory, as a shared module's tensors do, and which safetensors refuses."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        tensors, metadata = read_tensors(path)
    except (safetensors.SafetensorError, OSError) as reason:
        raise PatchError(f"{path} cannot be read as a patch: {reason}") from reason
    if not {"before", "after"} <= metadata.keys():
        raise PatchError(f"{path} holds weights but is no patch; make one with save_patch")
    return tensors, metadata


def _check(model: nn.Module, expected: str, path: Path, relation: str) -> None:
    if fingerprint(model) != expected:
        raise PatchError(
            f"this {type(model).__name__} is not the network that {path} is {relation}: its weights have another hash; "
            "load the weights that the patch was fitted on"
        )
