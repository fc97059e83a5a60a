"""A folder of noisy grey 16-bit images and no clean one: the shipped network, and what it becomes on that folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

import noisewise
from noisewise._rng import make_generator
from noisewise.data import ImageFile, read_image, write_image
from noisewise.data.patches import PatchSampler, load_unit
from noisewise.measure.image import psnr
from noisewise.methods.nvt import NOISY_ONLY, NoisyCrops, train_noisy_only
from noisewise.models import BlindDenoiser, load_denoiser
from noisewise.noise import parse_noise
from photographs import decibels, gain, training_photographs

__all__ = ["noisy_only_cells"]

NOISE = "speckle:level=0.35"
"""The shipped network never saw its kind."""
EXPOSURES = {"half exposure": 0.5, "full exposure": 1.0}
"""At full exposure noise takes light parts beyond the range, where it is cut off and has no longer mean zero."""
TRAINED_ON, HELD_OUT, STEPS = 40, 16, 400


def noisy_only_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """PSNR on held-out images of the same kind, by exposure."""
    photographs = training_photographs(data)[: TRAINED_ON + HELD_OUT]
    steps, held_out = (2, 2) if quick else (STEPS, HELD_OUT)
    told = {"noise": NOISE, "trained_on": TRAINED_ON, "steps": steps, "images": held_out}
    return told | {
        name: judged(list(made(photographs, work / name, exposure)), work / f"{name}.checkpoint", held_out, steps)
        for name, exposure in EXPOSURES.items()
    }


def judged(pairs: list[tuple[Path, Tensor]], checkpoint: Path, held_out: int, steps: int) -> dict[str, Any]:
    """The shipped network, and what the first images alone make of it, on the others."""
    tuned = trained([path for path, _ in pairs[:TRAINED_ON]], checkpoint, steps=steps)
    networks: dict[str, BlindDenoiser | None] = {"fast": None, "noisy_only": tuned}
    others = pairs[TRAINED_ON:][:held_out]
    scores = {"noisy": [scored(path, truth, lambda noisy: noisy) for path, truth in others]}
    for name, model in networks.items():
        scores[name] = [scored(path, truth, lambda noisy, m=model: cleaned(noisy, m)) for path, truth in others]
    cells: dict[str, Any] = {name: decibels(values) for name, values in scores.items()}
    return cells | {"noisy_only_over_fast": gain(scores["noisy_only"], scores["fast"])}


def made(photographs: Sequence[Path], folder: Path, exposure: float) -> Iterator[tuple[Path, Tensor]]:
    """Write the noisy images as grey 16-bit TIFFs; gives them with the clean ones, ``1 x 1 x H x W``."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, path in enumerate(photographs):
        clean = exposure * load_unit(path)[None].mean(1, keepdim=True)
        noisy = parse_noise(NOISE)(clean, generator=make_generator(index)).clamp(0, 1)
        pixels = np.rint(65535 * noisy[0, 0].numpy()).astype(np.uint16)
        target = folder / f"{path.stem}.tiff"
        write_image(ImageFile(pixels), target, overwrite=True)
        yield target, clean


def trained(paths: Sequence[Path], checkpoint: Path, *, steps: int) -> BlindDenoiser:
    schedule = replace(NOISY_ONLY, steps=steps)
    crops = NoisyCrops(PatchSampler(paths, schedule.patch, load=load_unit), schedule, seed=0)
    with Progress() as bar:
        task = bar.add_task("noisy only", total=steps)
        return train_noisy_only(
            load_denoiser(),
            crops,
            checkpoint,
            progress=lambda step, _: bar.update(task, completed=step),
        )


def cleaned(noisy: Any, model: BlindDenoiser | None) -> Any:
    return noisewise.denoise(noisy, model=model).image


def scored(path: Path, truth: Tensor, clean: Any) -> float:
    pixels = np.asarray(clean(read_image(path).pixels), dtype=np.float32) / 65535
    return float(psnr(torch.from_numpy(pixels).reshape(truth.shape), truth))
