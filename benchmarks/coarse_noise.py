"""What more effort on one image is worth where noise is coarse, on training photographs.

    python benchmarks/coarse_noise.py --data DIR [--json FILE]

Camera noise, some of it after a noise reduction that no recipe trains on (60 % of the result of OpenCV's non-local
means), saved as JPEG; photographs as they are, and parts of them enlarged twice, for cameras take softer ones than a
test set shows. PSNR in dB over ``fast``. No test image is read: this is where the ways of ``--quality`` were chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

import noisewise
from arguments import benchmark_parser, parse_with_data, write_results
from noisewise._rng import make_generator, place_generator
from noisewise.data.patches import load_unit
from noisewise.measure.image import psnr
from noisewise.models import load_denoiser
from noisewise.noise import parse_noise
from noisewise.restore.coarse import coarse_grain
from photographs import decibels, gain, training_photographs
from provenance import provenance

SEED, IMAGES, SIDE = 0, 8, 256
REDUCED = 0.6
NOISES = {
    "fine": ("camera:gain=0.2,sigma=0.3", False, 95),
    "smoothed": ("camera:gain=0.3,sigma=0.4,blur=0.8,chroma=0.5", False, 95),
    "reduced": ("camera:gain=0.6,sigma=1", True, 95),
    "smoothed and reduced": ("camera:gain=0.3,sigma=0.5,blur=1", True, 90),
    "weak and reduced": ("camera:gain=0.15,sigma=0.2", True, 98),
    "blotches": ("camera:gain=1,sigma=1,blur=2,chroma=0.3+camera:gain=0.1,sigma=0.1", False, 95),
}
"""What noise, whether the camera reduces it, and the quality of its JPEG."""
SHARES = (0.25, 0.5)


def main() -> None:
    parser = benchmark_parser(__doc__)
    arguments = parse_with_data(parser)
    began, cells = provenance(SEED), {}
    for label, prepare in {"photographs": as_it_is, "enlarged": enlarged}.items():
        paths = training_photographs(arguments.data)[5::50][:IMAGES]
        cleans = [prepare(load_unit(path)[None]) for path in paths]
        for name in track(NOISES, description=label):
            cells[f"{name}, {label}"] = cell([judged(clean, name, index) for index, clean in enumerate(cleans)])
    write_results({"over_fast": cells, "images": IMAGES, "provenance": began}, arguments.json)


def as_it_is(photograph: Tensor) -> Tensor:
    return photograph[..., 30 : 30 + SIDE, 60 : 60 + SIDE]


def enlarged(photograph: Tensor) -> Tensor:
    part = photograph[..., 80 : 80 + SIDE // 2, 100 : 100 + SIDE // 2]
    return F.interpolate(part, scale_factor=2, mode="bicubic").clamp(0, 1)


def photographed(clean: Tensor, name: str, index: int) -> Tensor:
    """The image as the camera saves it."""
    noise, is_reduced, quality = NOISES[name]
    noisy = parse_noise(noise)(clean, generator=place_generator(SEED, index)).clamp(0, 1)
    if is_reduced:
        noisy = torch.lerp(noisy, clean + reduced(noisy) - reduced(clean), REDUCED).clamp(0, 1)
    saved = parse_noise(f"jpeg:quality={quality}")(noisy, generator=make_generator(SEED))
    return (saved * 255).round() / 255


def reduced(image: Tensor) -> Tensor:
    pixels = (image[0].movedim(0, -1).numpy() * 255).round().astype(np.uint8)
    smooth = cv2.fastNlMeansDenoisingColored(pixels, None, 4, 8, 5, 15)
    return torch.from_numpy(smooth).movedim(-1, 0)[None].float() / 255


def judged(clean: Tensor, name: str, index: int) -> dict[str, float]:
    """PSNR of every way on one image."""
    noisy, model = photographed(clean, name, index), load_denoiser()
    fast, balanced = (noisewise.denoise(noisy, quality=quality).image for quality in ("fast", "balanced"))
    grain = coarse_grain(model, noisy, fast)
    ways: dict[str, Tensor] = {"noisy": noisy, "fast": fast, "balanced": balanced}
    ways |= {f"always {share}": fast - share * grain for share in SHARES}
    return {way: float(psnr(estimate, clean)) for way, estimate in ways.items()}


def cell(rows: list[dict[str, float]]) -> dict[str, Any]:
    columns: dict[str, list[float]] = {way: [row[way] for row in rows] for way in rows[0]}
    found: dict[str, Any] = {way: decibels(columns[way]) for way in ("noisy", "fast")}
    over: Callable[[str], dict[str, Any]] = lambda way: gain(columns[way], columns["fast"])  # noqa: E731
    return found | {
        way: over(way) | {"worst": worst(columns[way], columns["fast"])} for way in columns if way not in found
    }


def worst(values: list[float], others: list[float]) -> float:
    return round(min(a - b for a, b in zip(values, others, strict=True)), 3)


if __name__ == "__main__":
    main()
