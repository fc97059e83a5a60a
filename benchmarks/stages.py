"""What single stages of the restoration are worth, on training photographs: no test image is read.

    python benchmarks/stages.py --data DIR [--json FILE]

``views``: PSNR of one view in full precision, and of both views as :func:`noisewise.denoise` takes them. ``rehearsal``:
PSNR at multiples of the network's own level on simulated camera noise, and at the multiple that
:func:`noisewise.restore.level.choose_level` chose. ``unclip``: PSNR with and without inverting the clipped mean.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arguments import benchmark_parser, parse_with_data, write_results
from noisewise._rng import make_generator
from noisewise.data.patches import load_rgb
from noisewise.measure.image import psnr
from noisewise.measure.statistics import paired_bootstrap
from noisewise.noise import parse_noise
from noisewise.restore.denoise import denoise, shipped_denoiser
from noisewise.restore.level import CANDIDATES, choose_level
from noisewise.restore.unclip import unclip
from provenance import provenance

SEED = 0
CROP = slice(32, 224)
IMAGES = 8
CORRELATED = (
    "camera:gain=0.1,sigma=0.15+jpeg:quality=95",
    "camera:gain=0.05,sigma=0.1,blur=0.8+jpeg:quality=85",
    "camera:gain=0.6,sigma=0.6,blur=0.4+jpeg:quality=90",
    "correlated:sigma=5,blur=1.6+jpeg:quality=95",
)


def crops(data: Path) -> list[Tensor]:
    paths = sorted((data / "bsds500/test").glob("*.jpg"))[:: 200 // IMAGES][:IMAGES]
    return [load_rgb(path)[None, :, CROP, CROP].float() / 255 for path in paths]


def noisy(clean: Tensor, spec: str, index: int) -> Tensor:
    seed = int(np.random.default_rng([SEED, index]).integers(2**62))
    return parse_noise(f"{spec}+eight_bit")(clean, generator=make_generator(seed))


def gain(better: list[float], worse: list[float]) -> dict[str, object]:
    interval = paired_bootstrap(better, worse, seed=SEED)
    return {"gain": round(interval.mean, 3), "gain_ci95": [round(interval.low, 3), round(interval.high, 3)]}


def rehearsal(clean: list[Tensor], spec: str) -> dict[str, object]:
    model = shipped_denoiser()
    ladders, chosen = [], []
    for index, image in enumerate(clean):
        y = noisy(image, spec, index)
        estimate = model.estimate_noise_map(y)
        ladders.append([float(psnr(model(y, estimate * k).image, image)) for k in CANDIDATES])
        chosen.append(ladders[-1][CANDIDATES.index(choose_level(model, y))])
    own = [ladder[CANDIDATES.index(1.0)] for ladder in ladders]
    means = {str(k): round(float(v), 3) for k, v in zip(CANDIDATES, np.mean(ladders, axis=0), strict=True)}
    return {"psnr_at_multiple": means, "psnr_chosen": round(float(np.mean(chosen)), 3), **gain(chosen, own)}


def views(clean: list[Tensor], sigma: int) -> dict[str, object]:
    model, told = shipped_denoiser(), torch.tensor(sigma / 255)
    one, both = [], []
    for index, image in enumerate(clean):
        y = parse_noise(f"gaussian:sigma={sigma}")(image, generator=make_generator(index))
        one.append(float(psnr(model(y, told).image, image)))
        both.append(float(psnr(denoise(y, sigma / 255).image, image)))
    return {"psnr_of_one": round(float(np.mean(one)), 3), **gain(both, one)}


def unclipping(clean: list[Tensor], sigma: int) -> dict[str, object]:
    model = shipped_denoiser()
    plain, inverted = [], []
    for index, image in enumerate(clean):
        estimate = model(noisy(image, f"gaussian:sigma={sigma}", index)).image.clamp(0, 1)
        plain.append(float(psnr(estimate, image)))
        inverted.append(float(psnr(unclip(estimate, sigma / 255), image)))
    return {"psnr": round(float(np.mean(plain)), 3), **gain(inverted, plain)}


@torch.inference_mode()
def main() -> None:
    parser = benchmark_parser(__doc__)
    arguments = parse_with_data(parser)
    clean = crops(arguments.data)
    results = {
        "views": {str(sigma): views(clean, sigma) for sigma in (5, 15, 25, 50)},
        "rehearsal": {spec: rehearsal(clean, spec) for spec in CORRELATED},
        "unclip": {str(sigma): unclipping(clean, sigma) for sigma in (25, 50)},
        "images": len(clean),
        "provenance": provenance(SEED),
    }
    write_results(results, arguments.json)


if __name__ == "__main__":
    main()
