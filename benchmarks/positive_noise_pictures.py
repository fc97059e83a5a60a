"""The pictures of docs/positive-noise.md: what the order of the batches does, by noise, and by block and strength.

python benchmarks/positive_noise_pictures.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "docs/assets"
STATES = {
    "off": ("without noise", "0.35"),
    "sorted": ("batches of ten, sorted by class", "tab:red"),
    "shuffled": ("batches of ten, shuffled", "tab:blue"),
    "bs1": ("one image at a time", "tab:green"),
}
NOISES = {
    "optimal": "optimal Q",
    "circular": "circular shift 0.3",
    "gaussian": "Gaussian",
    "salt_and_pepper": "salt and pepper",
}
WIDTH = 0.2


def batch_order(measured: Mapping[str, Any]) -> Figure:
    """Bars: every noise at test, in batches made up otherwise."""
    axes = Figure(figsize=(8, 3.6), layout="constrained").subplots()
    for place, (state, (label, colour)) in enumerate(STATES.items()):
        cells = [measured[noise]["test"][state] for noise in NOISES]
        means = [cell["mean"] for cell in cells]
        spans = [[abs(cell["ci95"][end] - cell["mean"]) for cell in cells] for end in (0, 1)]
        places = [index + (place - 1.5) * WIDTH for index in range(len(NOISES))]
        bars = axes.bar(places, means, 0.9 * WIDTH, yerr=spans, label=label, color=colour, error_kw={"lw": 1})
        axes.bar_label(bars, [f"{mean:.0f}" for mean in means], padding=2, fontsize=8)
    axes.set_xticks(range(len(NOISES)), list(NOISES.values()))
    axes.set(ylabel="top-1 in %", ylim=(0, 112), title="The same ResNet and images; only the batches differ")
    axes.legend(frameon=False, ncols=2, loc="upper center", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return axes.figure


def by_block_and_strength(rows: list[Mapping[str, Any]]) -> Figure:
    """Heat maps: points that circular shift at test seems to gain or lose, in sorted and in shuffled batches."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    grid = figure.subplots(2, 2, sharey="col", squeeze=False)
    for column, (network, title) in enumerate({"resnet": "ResNet", "vit": "vision transformer"}.items()):
        chosen = [row for row in rows if row["network"] == network and row["noise"].startswith("circular")]
        for axes, state in zip(grid[:, column], ("sorted", "shuffled"), strict=True):
            strengths, blocks = (sorted({row[name] for row in chosen}) for name in ("strength", "layer"))
            cells = {(row["strength"], row["layer"]): row[state] - row["off"] for row in chosen}
            table = [[cells[strength, block] for block in blocks] for strength in strengths]
            image = axes.imshow(table, cmap="RdBu", vmin=-60, vmax=60, aspect="auto")
            for y, line in enumerate(table):
                for x, value in enumerate(line):
                    colour = "white" if abs(value) > 40 else "black"
                    axes.text(x, y, f"{round(value):+d}", ha="center", va="center", fontsize=8, color=colour)
            axes.set_xticks(range(len(blocks)), [str(block) for block in blocks])
            axes.set_yticks(range(len(strengths)), [str(strength) for strength in strengths])
            axes.set(title=f"{title}, {state}", xlabel="block", ylabel="strength")
    figure.colorbar(image, ax=grid, label="points over no noise")
    return figure


def main() -> None:
    measured = json.loads((ROOT / "benchmarks/results/positive_noise.json").read_text())
    ASSETS.mkdir(parents=True, exist_ok=True)
    batch_order(measured["resnet"]).savefig(ASSETS / "batch-order.png", dpi=130)
    by_block_and_strength(measured["sweep"]).savefig(ASSETS / "batch-order-by-block.png", dpi=130)


if __name__ == "__main__":
    main()
