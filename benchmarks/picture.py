"""The picture at the top of the README: a photograph with noise, and what noisewise makes of it.

python benchmarks/picture.py
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import noisewise
from noisewise.data import read_image
from noisewise.measure.image import psnr

TARGET = Path(__file__).parent.parent / "docs/assets/noise-in-noise-out.jpg"
SIGMA = 50
WINDOW = (slice(40, 440), slice(300, 700))


def noisy_copy(clean: NDArray[np.float32]) -> NDArray[np.uint8]:
    noise = np.random.default_rng([0, 0]).standard_normal(clean.shape)
    return np.rint((clean + SIGMA / 255 * noise).clip(0, 1) * 255).astype(np.uint8)


def decibels(image: NDArray[np.uint8], clean: NDArray[np.float32]) -> float:
    batch, truth = (torch.from_numpy(np.float32(x)).movedim(-1, 0)[None] for x in (image / 255, clean))
    return float(psnr(batch, truth))


def captioned(image: NDArray[np.uint8], text: str) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image[WINDOW]))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, picture.height - 34, picture.width, picture.height), fill="black")
    draw.text((10, picture.height - 29), text, fill="white", font=ImageFont.load_default(20))
    return picture


def main() -> None:
    clean = read_image(Path(str(files("noisewise.demo") / "assets/lighthouse.png"))).to_float()
    noisy = noisy_copy(clean)
    denoised = np.asarray(noisewise.denoise(noisy).image)
    pictures = [
        captioned(noisy, f"noise in: {decibels(noisy, clean):.1f} dB"),
        captioned(denoised, f"noise out: {decibels(denoised, clean):.1f} dB"),
    ]
    sheet = Image.new("RGB", (sum(p.width for p in pictures) + 8, pictures[0].height), "white")
    sheet.paste(pictures[0], (0, 0))
    sheet.paste(pictures[1], (pictures[0].width + 8, 0))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(TARGET, quality=92, subsampling=0)


if __name__ == "__main__":
    main()
