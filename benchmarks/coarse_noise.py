"""What more effort on one image is worth where noise is coarse, on training photographs.

    python benchmarks/coarse_noise.py --data DIR [--quick] [--json FILE]

Camera noise, some of it after a noise reduction that no recipe trains on (60 % of the result of OpenCV's non-local
means), saved as JPEG; photographs as they are, and parts of them enlarged twice, for cameras take softer ones than a
test set shows. PSNR in dB over ``fast``. No test image is read: this is where the ways of ``--quality`` were chosen.
"""

from __future__ import annotations

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
from noisewise.noise import parse_noise
from noisewise.restore.coarse import coarse_grain
from noisewise.restore.denoise import shipped_denoiser
from noisewise.restore.level import choose_level
from photographs import decibels, gain, training_photographs
from provenance import provenance

SEED, IMAGES, SIDE = 0, 8, 256
MIDDLE = slice(32, 224)
"""From which ``noisewise.denoise`` chooses the level."""
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
    parser.add_argument("--quick", action="store_true", help="two images: a smoke test, not a figure")
    arguments = parse_with_data(parser)
    most = 2 if arguments.quick else IMAGES
    began, cells = provenance(SEED), {}
    for label, prepare in {"photographs": as_it_is, "enlarged": enlarged}.items():
        paths = training_photographs(arguments.data)[5::50][:most]
        cleans = [prepare(load_unit(path)[None]) for path in paths]
        for name in track(NOISES, description=label):
            cells[f"{name}, {label}"] = cell([judged(clean, name, index) for index, clean in enumerate(cleans)])
    write_results({"over_fast": cells, "images": most, "provenance": began}, arguments.json)


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
    noisy, model = photographed(clean, name, index), shipped_denoiser()
    fast, balanced = (noisewise.denoise(noisy, quality=quality).image for quality in ("fast", "balanced"))
    with torch.inference_mode():
        level = model.estimate_noise_map(noisy) * choose_level(model, noisy[..., MIDDLE, MIDDLE])
        views = model.restore(noisy, level, views=8)
        grain = coarse_grain(model, noisy, views, views=8)
    ways: dict[str, Tensor] = {"noisy": noisy, "fast": fast, "balanced": balanced, "eight views": views}
    ways |= {f"always {share}": views - share * grain for share in SHARES}
    return {way: float(psnr(estimate, clean)) for way, estimate in ways.items()}


def cell(rows: list[dict[str, float]]) -> dict[str, Any]:
    columns: dict[str, list[float]] = {way: [row[way] for row in rows] for way in rows[0]}
    found: dict[str, Any] = {way: decibels(columns[way]) for way in ("noisy", "fast")}
    others = [way for way in columns if way not in found]
    return found | {way: over_fast(columns[way], columns["fast"]) for way in others}


def over_fast(values: list[float], fast: list[float]) -> dict[str, Any]:
    worst = min(a - b for a, b in zip(values, fast, strict=True))
    return gain(values, fast) | {"worst": round(worst, 3)}


if __name__ == "__main__":
    main()
