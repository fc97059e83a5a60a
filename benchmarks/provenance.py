"""Where and with what a figure was measured."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

__all__ = ["peak_memory_mb", "provenance"]

_PACKAGES = (
    "noisewise",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scikit-image",
    "opencv-python-headless",
    "pywavelets",
)


def provenance(seed: int) -> dict[str, object]:
    """Commit, versions, hardware and seed, JSON-ready."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--", "src", "benchmarks/*.py", "recipes")),
        "seed": seed,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "hardware": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in megabytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # a started process inherits what getrusage says of its parent
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git(*arguments: str) -> str:
    here = Path(__file__).parent.parent
    result = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)
    return result.stdout.strip()
