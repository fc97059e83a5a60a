"""The strengths of OpenCV's non-local means, as multiples of sigma, that serve training photographs best.

    python benchmarks/tune_nlm.py --data DIR [--json FILE]

White Gaussian noise of sigma 15, 25 and 50, clipped to 8 bits; no test image is read. The winner stands in
``yardsticks.py``.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track

from arguments import benchmark_parser, parse_with_data, write_results
from noisewise.data.patches import load_rgb
from noisewise.measure.image import psnr
from provenance import provenance

SEED = 0
IMAGES = 6
SIGMAS = (15, 25, 50)
LUMA = (0.3, 0.4, 0.5, 0.6, 0.8)
COLOUR = (0.2, 0.4, 0.6, 0.8, 1.2)


def pictures(data: Path) -> list[np.ndarray]:
    """Training photographs, 8-bit BGR as OpenCV has it."""
    tested = set((data / "cbsd68.txt").read_text().split())
    paths = [path for path in sorted((data / "bsds500").rglob("*.jpg")) if path.stem not in tested]
    chosen = paths[:: len(paths) // IMAGES][:IMAGES]
    return [np.ascontiguousarray(load_rgb(path).flip(0).movedim(0, -1)) for path in chosen]


def mean_psnr(clean: list[np.ndarray], luma: float, colour: float) -> float:
    scores = []
    for (index, picture), sigma in itertools.product(enumerate(clean), SIGMAS):
        noise = np.random.default_rng([SEED, index]).standard_normal(picture.shape)
        noisy = np.rint((picture + sigma * noise).clip(0, 255)).astype(np.uint8)
        estimate = cv2.fastNlMeansDenoisingColored(noisy, None, luma * sigma, colour * sigma, 7, 21)
        batch = [torch.from_numpy(image).movedim(-1, 0)[None].float() / 255 for image in (estimate, picture)]
        scores.append(float(psnr(*batch)))
    return round(float(np.mean(scores)), 3)


def main() -> None:
    parser = benchmark_parser(__doc__)
    arguments = parse_with_data(parser)
    clean = pictures(arguments.data)
    grid = list(itertools.product(LUMA, COLOUR))
    scores = {f"{luma}/{colour}": mean_psnr(clean, luma, colour) for luma, colour in track(grid)}
    best = max(scores, key=lambda strengths: scores[strengths])
    results = {"psnr_at_luma/colour": scores, "best": best, "images": IMAGES, "provenance": provenance(SEED)}
    write_results(results, arguments.json)


if __name__ == "__main__":
    main()
