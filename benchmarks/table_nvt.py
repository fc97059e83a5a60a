"""Tables of Noisy Visual Training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from table_parts import part, spread

__all__ = [
    "adaptation_table",
    "coarse_noise_table",
    "grey_noise_table",
    "interpolation_table",
    "noisy_only_table",
    "pretraining_table",
    "race_table",
    "self2self_table",
]


def decibels(cell: Mapping[str, Any]) -> str:
    return spread({"mean": cell["psnr"], "ci95": cell["ci95"]}, decimals=2)


def signed(cell: Mapping[str, Any]) -> str:
    return spread(cell, signed=True, decimals=2)


def interpolation_table() -> str:
    """PSNR by the way down and the way up."""
    measured = part("nvt", "interpolation")
    ways = {down: of for down, of in measured.items() if down != "noisy"}
    ups = list(next(iter(ways.values())))
    rows = [f"| PSNR in dB | up: {' | '.join(ups)} |", f"|---{'|---:' * len(ups)}|"]
    for down, of in ways.items():
        cells = " | ".join(f"{of[up]['psnr']:.2f}" for up in ups)
        rows.append(f"| down: {down} | {cells} |")
    return "\n".join(rows)


def pretraining_table(block: str) -> str:
    """Every variant of a block, and its gain over the first with the interval over seeds."""
    measured = part("nvt", block)
    rows = ["| PSNR in dB | sigma 25 | gain | sigma 50 | gain | s |", "|---|---:|---:|---:|---:|---:|"]
    for name, found in measured.items():
        cells = " | ".join(f"{found[sigma]['psnr']:.2f} | {_gain(found[sigma])}" for sigma in ("25", "50"))
        rows.append(f"| {name} | {cells} | {found['seconds']:.0f} |")
    return "\n".join(rows)


def race_table() -> str:
    """The shipped network and Self2Self, which has a hundred times as long."""
    measured = part("nvt", "self2self")["race"]
    steps = f"{min(measured['steps'])}-{max(measured['steps'])}"
    rows = ["| clipped images | PSNR in dB | steps |", "|---|---:|---:|"]
    rows.append(f"| the shipped network | {decibels(measured['fast'])} | - |")
    return "\n".join([*rows, f"| Self2Self | {decibels(measured['random'])} | {steps} |"])


def self2self_table() -> str:
    """Every start of Self2Self, and what is done to its result, on clipped and on unclipped squares."""
    measured = part("nvt", "self2self")
    rows = ["| PSNR in dB | clipped | unclipped |", "|---|---:|---:|"]
    for name, cell in measured["clipped"].items():
        rows.append(f"| {name} | {decibels(cell)} | {decibels(measured['unclipped'][name])} |")
    return "\n".join(rows)


def noisy_only_table() -> str:
    """The shipped network, and what it became on a folder of noisy images."""
    measured = part("nvt", "noisy_only")
    words = {"noisy": "noisy", "fast": "the shipped network", "noisy_only": "after `pretrain --noisy-only`"}
    exposures = [name for name, cells in measured.items() if isinstance(cells, dict)]
    rows = [f"| 16-bit grey, PSNR in dB | {' | '.join(exposures)} |", f"|---{'|---:' * len(exposures)}|"]
    for name, label in words.items():
        rows.append(f"| {label} | {' | '.join(decibels(measured[exposure][name]) for exposure in exposures)} |")
    gains = " | ".join(signed(measured[exposure]["noisy_only_over_fast"]) for exposure in exposures)
    return "\n".join([*rows, f"| gain | {gains} |"])


def adaptation_table() -> str:
    """PolyU at every quality."""
    measured = part("nvt", "adaptation")["polyu"]
    rows = ["| PolyU | PSNR in dB | over fast | worst crop | s |", "|---|---:|---:|---:|---:|"]
    for name, cell in measured.items():
        over = f"{signed(cell['over_fast'])} | {cell['worst_over_fast']:+.2f}"
        rows.append(f"| {name} | {decibels(cell)} | {over} | {cell['seconds']:.1f} |")
    return "\n".join(rows)


def coarse_noise_table() -> str:
    """What balanced gains over fast on coarse noise that was put on training photographs."""
    ways = ("eight views", "balanced", "always 0.5")
    rows = [
        "| dB over fast | fast | eight views | worst | balanced | worst | always half of the grain | worst |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, cell in part("coarse_noise", "over_fast").items():
        cells = " | ".join(f"{signed(cell[way])} | {cell[way]['worst']:+.2f}" for way in ways)
        rows.append(f"| {name} | {cell['fast']['psnr']:.2f} | {cells} |")
    return "\n".join(rows)


def grey_noise_table() -> str:
    """What grey photographs gain where they are told the level of the diagnosis."""
    count, cells = part("grey_noise", "images"), part("grey_noise", "grey")
    columns = "noisy | auto | diagnosed | gain | worst | hinted at | told the true sigma"
    rows = [f"| PSNR in dB | {columns} |", f"|---{'|---:' * 7}|"]
    for name, cell in cells.items():
        noisy, truth = (f"{cell[way]['psnr']:.2f}" if way in cell else "-" for way in ("noisy", "told sigma"))
        own, ours, over = cell["own level"]["psnr"], cell["diagnosed"]["psnr"], cell["over own level"]
        gained = f"{signed(over)} | {over['worst']:+.2f} | {cell['hinted']} of {count}"
        label = name.replace(" 1 pixels", " 1 pixel")
        rows.append(f"| {label} | {noisy} | {own:.2f} | {ours:.2f} | {gained} | {truth} |")
    return "\n".join(rows)


def _gain(cell: Mapping[str, Any]) -> str:
    if "gain" not in cell:
        return "-"
    mean, *ends = cell["gain"]
    return signed({"mean": mean, "ci95": ends})
