"""The commands of a block, run as somebody would who pasted them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from noisewise.cli import main

__all__ = ["CANNOT_RUN", "SMALLER", "commands", "run"]

CANNOT_RUN = {
    "pip install": "needs a package index; .ci/run installs as the README says, and the wheel by itself",
    "noisewise serve": "serves until Ctrl-C; tests/demo runs it",
}

SMALLER = {
    "noisewise pretrain --images photo": "--steps 2",
    "noisewise pretrain --images micrographs/": "--steps 2",
    "accelerate launch": "--steps 2",
    "noisewise adapt": "--steps 2 --batch-size 4",
    "noisewise harden timm:resnet18": "--size 32",
    "noisewise evaluate classification timm:resnet18": "--size 32",
    "noisewise audit timm:resnet18": "--size 32",
    "noisewise sweep timm:resnet18": "--size 32 --steps 1 --seeds 1 --strengths 1 --layers last",
}
"""Options that are added to what would take minutes or hours; the ten-minute starts have none of these commands."""

_EXIT = re.compile(r"# exits with (\d+)$", re.MULTILINE)


def commands(block: str) -> Iterator[tuple[str, int]]:
    """Each command with the exit code that its comment promises; lines that end in a backslash are joined."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith(("#", *CANNOT_RUN)) or not line.strip():
            continue
        code = _EXIT.search(line)
        yield line, int(code[1]) if code else 0


def run(command: str, expected: int) -> None:
    """Run one command in the present folder: noisewise in this process, all else in a shell of its own."""
    words = shlex.split(command, comments=True)
    added = next((extra for start, extra in SMALLER.items() if command.startswith(start)), "")
    if words[0] != "noisewise":
        beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # the tools of this Python
        ran = subprocess.run(f"{command} {added}", shell=True, check=False, env=os.environ | {"PATH": beside})
        assert ran.returncode == expected
        return
    _provide_weights(words)
    _make_way(words)
    assert _exit_code([*words, *added.split()]) == expected, command


def _exit_code(words: list[str]) -> int:
    shown = warnings.showwarning
    try:
        with patch.object(sys, "argv", words), patch.object(sys, "path", [*sys.path]):
            main()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    finally:
        warnings.showwarning = shown
    raise AssertionError("the command line did not exit")


def _make_way(words: list[str]) -> None:
    """The commands of a page are alternatives; none would replace the file that another one wrote."""
    target = Path(_option(words, "-o") or "")
    if target.is_file():
        target.unlink()


def _option(words: list[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words else None


def _provide_weights(words: list[str]) -> None:
    """Weights that a reader has of the network in the command; those that a page made itself are left alone."""
    network = next((word for word in words if re.match("(timm|torchvision):", word)), None)
    weights = _option(words, "--weights")
    if network is None or weights is None or network == "timm:test_resnet":
        return
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(_network(*network.split(":")).state_dict(), weights)


def _network(library: str, name: str) -> nn.Module:
    if library == "timm":
        return timm.create_model(name, num_classes=2)
    dense = {} if name.startswith("resnet") else {"weights_backbone": None}
    return get_model(name, num_classes=11, **dense)
