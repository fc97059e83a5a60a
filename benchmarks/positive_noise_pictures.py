"""The picture of docs/positive-noise.md: one network, one noise, and what it scores in batches made up otherwise.

python benchmarks/leak_picture.py
"""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs/assets/batch-order.png"
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


def main() -> None:
    measured = json.loads((ROOT / "benchmarks/results/positive_noise.json").read_text())["resnet"]
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
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(TARGET, dpi=130)


if __name__ == "__main__":
    main()
