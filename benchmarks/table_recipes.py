"""What a recipe of pre-training costs and gives, in the lines at its head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretraining import BLOCKS, RECIPES, SIGMAS, VARIANTS
from table_parts import part

__all__ = ["RECIPE_FILES", "recipe_filled", "recipes_table"]

RECIPE_FILES = sorted(RECIPES.glob("*.toml"))
LINES = re.compile(r"(?<=^# Time:     )(.*)\n# Expected: (.*)$", re.MULTILINE)


def recipe_filled(path: Path) -> str:
    """The recipe with the two lines made anew; as it is where nothing was measured."""
    try:
        cell(path.stem)
    except FileNotFoundError:
        return path.read_text()
    return LINES.sub(lambda _: f"{time(path.stem)}\n# Expected: {expected(path.stem)}", path.read_text())


def recipes_table() -> str:
    """What every file is, in its own words; links begin with a dot for the site, which includes them elsewhere."""
    rows = ["| recipe | what it is |", "|---|---|"]
    return "\n".join([*rows, *(f"| [`{path.stem}`](./{path.name}) | {purpose(path)} |" for path in RECIPE_FILES)])


def purpose(path: Path) -> str:
    head, _, _ = path.read_text().partition("#\n")
    return " ".join(line.removeprefix("# ") for line in head.splitlines())


def time(stem: str) -> str:
    hardware = part("nvt", "provenance")["pretraining"]["hardware"]
    return f"{cell(stem)['seconds']:.0f} s on {hardware['threads']} core(s) of an {hardware['cpu']}."


def expected(stem: str) -> str:
    scores = " / ".join(f"{cell(stem)[str(sigma)]['psnr']:.2f}" for sigma in SIGMAS)
    return f"{scores} dB at sigma {' / '.join(map(str, SIGMAS))}, unclipped, every fourth image of CBSD68, three seeds."


def cell(stem: str) -> Mapping[str, Any]:
    """What was measured of it.

    Raises:
        FileNotFoundError: nothing yet.
    """
    name = next(name for name, file in VARIANTS.items() if file == stem)
    block = next(block for block, names in BLOCKS.items() if name in names)
    found: Mapping[str, Any] = part("nvt", block)[name]
    return found
