"""First chapter: a photograph, made noisy in two ways, cleaned and compared with the original.

``assets/lighthouse.png`` is image 21 of the Kodak Lossless True Color suite, released for unrestricted use.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from noisewise._rng import make_generator
from noisewise.data import ImageFile, read_image, write_image
from noisewise.measure.image import psnr, ssim
from noisewise.noise import parse_noise
from noisewise.restore.denoise import shipped_denoiser
from noisewise.restore.files import RestoredFile, denoise_file, read_restored
from noisewise.restore.report import ReportImage

__all__ = ["clean_photograph", "write_noisy_photograph"]

_SENSOR = "camera:gain=1.2,sigma=1.5+jpeg:quality=92"
_NOISES = {
    "A small sensor at high ISO": _SENSOR,
    "Strong white noise, sigma 50": "gaussian:sigma=50",
}


def clean_photograph() -> tuple[list[ReportImage], dict[str, dict[str, float]]]:
    """Sections of the page, and PSNR before and after and the seconds of each case."""
    clean = _photograph()
    shipped_denoiser()  # loaded before the clock starts
    pages, figures = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in _NOISES.items():
            page, figures[name] = _section(name, spec, clean, Path(folder))
            pages.append(page)
    return pages, figures


def write_noisy_photograph(path: Path) -> None:
    """The photograph with the noise of a small sensor."""
    _write_noisy(_photograph(), _SENSOR, path)


def _photograph() -> ImageFile:
    with as_file(files("noisewise.demo") / "assets" / "lighthouse.png") as path:
        return read_image(path)


def _write_noisy(clean: ImageFile, spec: str, path: Path) -> None:
    noisy = parse_noise(spec)(_batch(clean), generator=make_generator(0))
    write_image(clean.with_float(noisy[0].movedim(0, -1).numpy()), path)


def _section(name: str, spec: str, clean: ImageFile, folder: Path) -> tuple[ReportImage, dict[str, float]]:
    source = folder / f"{len(list(folder.iterdir()))}.png"
    target = source.with_suffix(".clean.png")
    _write_noisy(clean, spec, source)
    start = time.perf_counter()
    denoise_file(source, target)
    seconds = time.perf_counter() - start
    result = read_restored(source, target)
    figures = _figures(clean, result)
    page = result.report_image(name, reference=clean.pixels)
    shown = tuple((label, f"{before:.2f}", f"{after:.2f}") for label, (before, after) in figures.items())
    before, after = figures["PSNR (dB)"]
    return replace(page, figures=shown), {"before": before, "after": after, "seconds": round(seconds, 2)}


def _figures(clean: ImageFile, result: RestoredFile) -> dict[str, tuple[float, float]]:
    truth, noisy = _batch(clean), _batch(result.noisy)
    denoised = _batch(replace(clean, pixels=result.clean))
    measures = {"PSNR (dB)": psnr, "SSIM": ssim}
    return {label: (float(f(noisy, truth)), float(f(denoised, truth))) for label, f in measures.items()}


def _batch(image: ImageFile) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.to_float())).movedim(-1, 0)[None]
