"""Peak memory and seconds of denoising one very large image.

python benchmarks/memory.py [--megapixels 100] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

import noisewise
from provenance import peak_memory_mb, provenance

SEED = 0


def photograph(megapixels: float) -> NDArray[np.uint8]:
    """A square RGB image of smooth shades with noise of sigma 20."""
    side = math.ceil(math.sqrt(megapixels * 1e6))
    shade = (96 + 64 * np.sin(np.arange(side) / 300)).astype(np.int16)
    rng = np.random.default_rng(SEED)
    image = np.empty((side, side, 3), dtype=np.uint8)
    for row in range(side):  # row by row: the picture itself must not cost the memory that is measured
        noise = rng.normal(0, 20, (side, 3))
        image[row] = (shade[row] // 2 + shade[:, None] // 2 + noise).clip(0, 255)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--json", type=Path, help="where to write the results")
    arguments = parser.parse_args()
    image = photograph(arguments.megapixels)
    start = time.perf_counter()
    with Progress() as bar:
        task = bar.add_task("denoising", total=1.0)
        noisewise.denoise(image, progress=lambda share: bar.update(task, completed=share))
    measured = {
        "megapixels": image.shape[0] * image.shape[1] / 1e6,
        "seconds": round(time.perf_counter() - start, 1),
        "peak_memory_mb": peak_memory_mb(),
        "limit_mb": 4096,
        "provenance": provenance(SEED),
    }
    text = json.dumps(measured, indent=2)
    print(text) if arguments.json is None else arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
