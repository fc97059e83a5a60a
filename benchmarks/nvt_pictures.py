"""The pictures of docs/nvt.md: what coarse grain is, and what a start is worth to Self2Self.

    python benchmarks/nvt_pictures.py [--data DIR]

The first is of a training photograph, enlarged twice; the second is drawn from ``results/nvt.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

import noisewise
from arguments import benchmark_parser, parse_with_data
from coarse_noise import enlarged, photographed
from noisewise.data.patches import load_unit
from noisewise.measure.image import psnr
from photographs import training_photographs

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "docs/assets"
PHOTOGRAPH, NOISE = 155, "fine"
SIDE = 128
STARTS = {"random": "tab:blue", "pyramid": "tab:green", "nrl": "tab:red"}


def coarse_grain_picture(data: Path) -> Figure:
    """A photograph as the camera saves it, at both qualities, and what was removed."""
    clean = enlarged(load_unit(training_photographs(data)[PHOTOGRAPH])[None])
    noisy = photographed(clean, NOISE, 0)
    images = {"noisy": noisy} | {name: noisewise.denoise(noisy, quality=name).image for name in ("fast", "balanced")}
    grid = Figure(figsize=(9, 6.4), layout="constrained").subplots(2, 3)
    for axes, (name, image) in zip(grid[0], images.items(), strict=True):
        axes.imshow(shown(image))
        axes.set_title(f"{name}, {float(psnr(image, clean)):.2f} dB")
    for axes, (name, image) in zip(grid[1], images.items(), strict=True):
        axes.imshow(shown(0.5 + 6 * (image - clean)))
        axes.set_title(f"{name}: what is wrong, x 6")
    for axes in grid.flat:
        axes.set_axis_off()
    return grid[0, 0].figure


def shown(image: Tensor) -> NDArray[np.float32]:
    return image[0, :, :SIDE, :SIDE].clamp(0, 1).movedim(0, -1).numpy()


def curves(measured: Mapping[str, Any]) -> Figure:
    """PSNR of one pass of Self2Self over its steps, mean of the images, by start."""
    axes = Figure(figsize=(7, 3.6), layout="constrained").subplots()
    for name, colour in STARTS.items():
        looks = list(zip(*measured["psnr_over_steps"][name], strict=True))
        steps, scores = zip(*((look[0][0], fmean(score for _, score in look)) for look in looks), strict=True)
        axes.plot(steps, scores, color=colour, label=name)
    fast = measured["clipped"]["fast"]["psnr"]
    axes.axhline(fast, color="0.35", linestyle="--", label="the shipped network")
    axes.set(
        xlabel="steps",
        ylabel="PSNR in dB",
        title="Self2Self on squares of five CBSD68 images, sigma 50, 8 bits, by its start",
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes.figure


def main() -> None:
    arguments = parse_with_data(benchmark_parser(__doc__))
    measured = json.loads((ROOT / "benchmarks/results/nvt.json").read_text())
    ASSETS.mkdir(parents=True, exist_ok=True)
    coarse_grain_picture(arguments.data).savefig(ASSETS / "coarse-grain.jpg", dpi=100, pil_kwargs={"quality": 88})
    if "self2self" in measured:
        curves(measured["self2self"]).savefig(ASSETS / "self2self-starts.png", dpi=130)


if __name__ == "__main__":
    main()
