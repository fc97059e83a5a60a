"""What grey photographs gain where the level of the diagnosis is told to the network, which misses it.

    python benchmarks/grey_noise.py --data DIR [--quick] [--json FILE]

Training photographs made grey, clipped and rounded to 8 bits: clean, halved, and with white, smoothed and camera noise.
The ways: by the network's own level, as ``noisewise.denoise`` does it, and told the true sigma. The bounds from which a
level counts as missed were chosen on other training photographs; no test image is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

import noisewise
from arguments import benchmark_parser, parse_with_data, write_results
from noisewise._rng import place_generator
from noisewise.data.patches import load_unit
from noisewise.measure.image import psnr
from noisewise.models import BlindDenoiser, load_denoiser
from noisewise.noise import parse_noise
from photographs import decibels, gain, training_photographs
from provenance import provenance

SEED, SIDE = 0, 256
HELD_OUT = slice(9, None, 18)
"""Of the training photographs; the bounds were chosen on every fourth, and fifteen of every 18th from the fourth on."""
SIGMAS, BLURS = (10, 20, 40), (0.5, 0.7, 1.0, 1.5)


def conditions() -> dict[str, tuple[str | None, int | None]]:
    """Noise, and its sigma where it has one that can be told."""
    found: dict[str, tuple[str | None, int | None]] = {"clean": (None, None), "clean, half the size": (None, None)}
    found |= {f"white, sigma {sigma}": (f"gaussian:sigma={sigma}", sigma) for sigma in SIGMAS}
    for blur in BLURS:
        found |= {
            f"smoothed by {blur:g} pixels, sigma {sigma}": (f"correlated:sigma={sigma},blur={blur}", sigma)
            for sigma in SIGMAS
        }
    return found | {"speckle": ("speckle:level=0.35", None), "camera": ("camera:gain=0.3,sigma=0.4,blur=0.8", None)}


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="two images, three noises: a smoke test, not a figure")
    arguments = parse_with_data(parser)
    paths = training_photographs(arguments.data)[HELD_OUT][: 2 if arguments.quick else None]
    chosen = list(conditions())[:: 5 if arguments.quick else 1]
    began, cells = provenance(SEED), {}
    for name in track(chosen, description="noises"):
        cells[name] = cell([judged(path, name, index) for index, path in enumerate(paths)])
    write_results({"grey": cells, "images": len(paths), "provenance": began}, arguments.json)


def grey(path: Path, name: str) -> Tensor:
    """``1 x 1 x H x W`` on [0, 1]."""
    image = load_unit(path)[None].mean(1, keepdim=True)
    image = F.avg_pool2d(image, 2) if name.endswith("half the size") else image
    return image[..., :SIDE, :SIDE]


def judged(path: Path, name: str, index: int) -> dict[str, float]:
    """PSNR of every way on one image, and whether the level was told."""
    clean, (noise, sigma) = grey(path, name), conditions()[name]
    noisy = clean if noise is None else parse_noise(noise)(clean, generator=place_generator(SEED, index))
    pixels = (noisy.clamp(0, 1)[0, 0].numpy() * 255).round().astype(np.uint8)
    own, found = noisewise.denoise(pixels, model=same_network()), noisewise.denoise(pixels)
    ways = {"own level": own.image, "noisewise": found.image}
    if noise is not None:
        ways["noisy"] = pixels
    if sigma is not None:
        ways["told sigma"] = noisewise.denoise(pixels, sigma=sigma / 255).image
    scores = {way: float(psnr(unit(image), clean)) for way, image in ways.items()}
    return scores | {"told": not math.isclose(found.sigma, own.sigma, rel_tol=0.1)}


@cache
def same_network() -> BlindDenoiser:
    """The shipped weights, as a network that was handed over: its own level is believed."""
    return load_denoiser().to(memory_format=torch.channels_last)


def unit(pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255)[None, None]


def cell(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    columns = {way: [row[way] for row in rows] for way in rows[0] if way != "told"}
    worst = min(a - b for a, b in zip(columns["noisewise"], columns["own level"], strict=True))
    over = gain(columns["noisewise"], columns["own level"]) | {"worst": round(worst, 3)}
    told = {"over own level": over, "told": sum(bool(row["told"]) for row in rows)}
    return {way: decibels(values) for way, values in columns.items()} | told


if __name__ == "__main__":
    main()
