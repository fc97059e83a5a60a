"""Files written whole or not at all, known beforehand to be possible; tensors read without running code."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import safetensors
from torch import Tensor

from noisewise.errors import OutputError

__all__ = ["check_target", "read_tensors", "tensors_below", "write_atomically"]


def check_target(path: Path, *, overwrite: bool) -> None:
    """Fails, before any work is spent, where writing ``path`` is bound to fail.

    Raises:
        OutputError: it is a folder, or exists without ``overwrite``, or the folder that it belongs into is missing.
    """
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; name a file within it")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or pass --overwrite (overwrite=True)")
    if not path.parent.is_dir():
        raise OutputError(f"there is no folder {path.parent} for {path.name}; make it, or choose another name")


def write_atomically(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Writes ``data`` beside ``path`` and moves it there once it is on the disk.

    A reader sees the old file or the new one, never a part. Without ``overwrite`` an existing file stays as it is,
    even if it appears during the write.

    Raises:
        FileExistsError: ``path`` exists, without ``overwrite``.
        OSError: the file cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".noisewise-{secrets.token_hex(8)}.part")
    try:
        _write_new(temporary, data)
        if overwrite:
            _keep_permissions(path, temporary)
            temporary.replace(path)
        else:
            _move_to_free_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        SafetensorError: it is none, or damaged.
        OSError: it cannot be read.
    """
    with safetensors.safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping


def tensors_below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name starts with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _keep_permissions(old: Path, new: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.copymode(old, new)


def _move_to_free_name(temporary: Path, path: Path) -> None:
    """A move that fails on an existing target, which a plain rename would replace on POSIX."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # no hard links here, as on FAT: reserve the name, then replace the reservation
        path.open("xb").close()
        temporary.replace(path)
