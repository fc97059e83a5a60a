"""What grey photographs gain where the network is told the level of the diagnosis instead of finding its own.

    python benchmarks/grey_noise.py --data DIR [--quick] [--json FILE]

The middles of the 24 photographs of Kodak, made grey, with white, smoothed, speckle and camera noise or none, clipped
and rounded to 8 bits. The ways: ``noisewise.denoise`` by itself, with ``sigma="diagnosed"``, and told the true sigma;
and in how many images the command line hints at the second. Nothing was tuned on these photographs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

import noisewise
from arguments import benchmark_parser, parse_with_data, write_results
from noisewise._rng import place_generator
from noisewise.data.patches import load_unit
from noisewise.measure.image import psnr
from noisewise.noise import parse_noise
from noisewise.restore.level import is_missed
from photographs import decibels, gain
from provenance import provenance

SEED, SIDE = 0, 256
SIGMAS, BLURS = (10, 20, 40), (0.5, 0.7, 1.0, 1.5)


def conditions() -> dict[str, tuple[str | None, int | None]]:
    """Noise, and its sigma where it has one that can be told."""
    found: dict[str, tuple[str | None, int | None]] = {"clean": (None, None)}
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
    paths = sorted((arguments.data / "kodak24").glob("*.png"))[: 2 if arguments.quick else None]
    chosen = list(conditions())[:: 6 if arguments.quick else 1]
    began, cells = provenance(SEED), {}
    for name in track(chosen, description="noises"):
        cells[name] = cell([judged(path, name, index) for index, path in enumerate(paths)])
    write_results({"grey": cells, "images": len(paths), "provenance": began}, arguments.json)


def grey_middle(path: Path) -> Tensor:
    """``1 x 1 x H x W`` on [0, 1]."""
    image = load_unit(path)[None].mean(1, keepdim=True)
    top, left = ((side - SIDE) // 2 for side in image.shape[-2:])
    return image[..., top : top + SIDE, left : left + SIDE]


def judged(path: Path, name: str, index: int) -> dict[str, float]:
    """PSNR of every way on one image, and whether there is a hint."""
    clean, (noise, sigma) = grey_middle(path), conditions()[name]
    noisy = clean if noise is None else parse_noise(noise)(clean, generator=place_generator(SEED, index))
    pixels = (noisy.clamp(0, 1)[0, 0].numpy() * 255).round().astype(np.uint8)
    own = noisewise.denoise(pixels)
    ways = {"own level": own.image, "diagnosed": noisewise.denoise(pixels, sigma="diagnosed").image}
    if noise is not None:
        ways["noisy"] = pixels
    if sigma is not None:
        ways["told sigma"] = noisewise.denoise(pixels, sigma=sigma / 255).image
    scores = {way: float(psnr(unit(image), clean)) for way, image in ways.items()}
    return scores | {"hinted": is_missed(own.diagnosis.noise_level, own.sigma)}


def unit(pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255)[None, None]


def cell(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    columns = {way: [row[way] for row in rows] for way in rows[0] if way != "hinted"}
    worst = min(a - b for a, b in zip(columns["diagnosed"], columns["own level"], strict=True))
    over = gain(columns["diagnosed"], columns["own level"]) | {"worst": round(worst, 3)}
    told = {"over own level": over, "hinted": sum(bool(row["hinted"]) for row in rows)}
    return {way: decibels(values) for way, values in columns.items()} | told


if __name__ == "__main__":
    main()
