"""What the tables of all benchmarks share: committed results, and how a figure is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "part", "results", "spread", "targets_table", "top1"]

ROOT = Path(__file__).parent.parent


def results(name: str) -> Mapping[str, Any]:
    return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())


def part(name: str, key: str) -> Any:
    """A part of the results.

    Raises:
        FileNotFoundError: it has not been measured, for want of the file or of the part.
    """
    found = results(name)
    if key not in found:
        raise FileNotFoundError(f"{name}.json has no {key}")
    return found[key]


def targets_table(name: str) -> str:
    """What was demanded and what was measured."""
    met = {True: "yes", False: "no"}
    rows = [
        f"| {entry['case']} | {entry['target']} | {entry['measured']} | {met[entry['met']]} |"
        for entry in part(name, "targets")
    ]
    return "\n".join(["| case | target | measured | met |", "|---|---:|---:|---|", *rows])


def top1(scores: Mapping[str, Any], *, bold: bool) -> str:
    value = f"**{scores['mean']:.1f}**" if bold else f"{scores['mean']:.1f}"
    return f"{value} [{scores['ci95'][0]:.1f}, {scores['ci95'][1]:.1f}]"


def spread(scores: Mapping[str, Any], *, signed: bool = False, decimals: int = 1) -> str:
    """A mean with its interval."""
    form = f"{'+' if signed else ''}.{decimals}f"
    ends = ", ".join(f"{end:{form}}" for end in scores["ci95"])
    return f"{scores['mean']:{form}} [{ends}]"
