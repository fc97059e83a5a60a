"""Learners that have one image, beside the shipped network; and the shipped network at every quality."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor, nn

import noisewise
from noisewise._rng import make_generator
from noisewise.data import find_pairs
from noisewise.data.patches import load_unit
from noisewise.measure.image import psnr
from noisewise.methods.nvt import Pyramid, choose_unsharp_mask
from noisewise.methods.single_image import Budget, Self2Self, fit_image
from noisewise.models.unet import UNet
from noisewise.restore.unclip import unclip
from noisewise.train.loop import initialised
from photographs import cbsd68, decibels, gain, white_noise
from pretraining import pretrained_start

__all__ = ["adaptation_cells", "self2self_cells"]

IMAGES, SIGMA, TIMES = 5, 50, 100
WIDTHS = (32, 48, 64)


def starts(data: Path, work: Path, *, quick: bool) -> dict[str, nn.Module]:
    """Networks that Self2Self starts from."""
    return {
        "random": initialised(lambda: UNet(3, WIDTHS), 0),
        "pyramid": initialised(lambda: Pyramid(UNet(3, WIDTHS), 3, WIDTHS), 0),
        "nrl": pretrained_start(data, work, quick=quick),
    }


def self2self_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """On the first images of CBSD68, each start given a hundred times as long as the shipped network takes.

    All starts where the images are clipped, a random one where they are not.
    """
    networks = starts(data, work, quick=quick)
    paths = cbsd68(data)[: 2 if quick else IMAGES]
    scores: dict[str, dict[str, list[float]]] = {kind: {} for kind in ("clipped", "unclipped")}
    curves: dict[str, list[Any]] = {name: [] for name in networks}
    for kind, of in scores.items():
        for index, path in enumerate(track(paths, description=f"self2self, {kind}")):
            clean, noisy = parts(*white_noise(path, index, SIGMA, clipped=kind == "clipped"), quick=quick)
            tried = networks if kind == "clipped" else {"random": networks["random"]}
            for name, value in judged(clean, noisy, tried, curves, kind, quick=quick).items():
                of.setdefault(name, []).append(value)
    return {kind: cells(of) for kind, of in scores.items()} | {"psnr_over_steps": curves, "times_as_long": TIMES}


def cells(scores: Mapping[str, list[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {name: decibels(values) for name, values in scores.items() if "seconds" not in name}
    for name in found:
        found[name]["fast_over_it"] = gain(scores["fast"], scores[name])
    return found | {name: sum(values) / len(values) for name, values in scores.items() if "seconds" in name}


def judged(
    clean: Tensor,
    noisy: Tensor,
    networks: Mapping[str, nn.Module],
    curves: Mapping[str, list[Any]],
    kind: str,
    *,
    quick: bool,
) -> dict[str, float]:
    """PSNR of every way on one image; steps and PSNR of clipped images are noted in ``curves``."""
    noisewise.denoise(noisy[..., :64, :64])  # loads the weights
    began = time.perf_counter()
    fast = noisewise.denoise(noisy).image
    seconds = time.perf_counter() - began
    found = {"fast": float(psnr(fast, clean)), "fast_seconds": seconds}
    budget = Budget(10**6, seconds=0.5 if quick else TIMES * seconds, check_every=25, patience=10**6)
    for name, network in networks.items():
        curve: list[tuple[int, float]] = []
        watch = watcher(clean, noisy, curve)
        image = fit_image(Self2Self(), noisy, network=network, budget=budget, on_check=watch).image
        found[name] = float(psnr(image, clean))
        if name == "random":
            found |= after(image, noisy, clean, sigma=SIGMA / 255)
        if kind == "clipped":
            curves[name].append(curve)
    return found


def parts(clean: Tensor, noisy: Tensor, *, quick: bool) -> tuple[Tensor, Tensor]:
    """A corner is enough for a smoke test."""
    corner = slice(64 if quick else None)
    return clean[..., corner, corner], noisy[..., corner, corner]


def watcher(clean: Tensor, noisy: Tensor, curve: list[tuple[int, float]]) -> Callable[[Any, nn.Module], None]:
    def note(check: Any, network: nn.Module) -> None:
        estimate = Self2Self().estimate(network, noisy, make_generator(0), 1)  # one, for its time counts
        curve.append((check.step, round(float(psnr(estimate, clean)), 3)))

    return note


def after(image: Tensor, noisy: Tensor, clean: Tensor, sigma: float) -> dict[str, float]:
    """The same result sharpened, unclipped, and both; the mask is chosen without the clean image."""
    lifted = unclip(image, sigma)
    found = {"random, unclipped": float(psnr(lifted, clean))}
    for name, estimate in (("random", image), ("random, unclipped", lifted)):
        # the learner is frozen: how its result would follow the noise is not known, and taken for nothing
        choice = choose_unsharp_mask(noisy, lambda _, fixed=estimate: fixed, sigma, generator=make_generator(0))
        found[f"{name}, sharpened"] = float(psnr(choice.mask(estimate), clean))
    return found


def adaptation_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """PSNR on PolyU, gain over ``fast`` and seconds a crop, at every quality.

    ``best`` does with the network what ``balanced`` does, and is measured with it.
    """
    pairs = find_pairs(data / "polyu")[: 3 if quick else None]
    scores: dict[str, list[float]] = {quality: [] for quality in ("fast", "balanced")}
    seconds: dict[str, list[float]] = {quality: [] for quality in scores}
    for pair in track(pairs, description="polyu"):
        clean, noisy = parts(load_unit(pair.clean_path)[None], load_unit(pair.noisy_path)[None], quick=quick)
        for quality, values in scores.items():
            began = time.perf_counter()
            values.append(float(psnr(torch.as_tensor(noisewise.denoise(noisy, quality=quality).image), clean)))
            seconds[quality].append(time.perf_counter() - began)
    rows = {quality: _row(scores, seconds, quality) for quality in scores}
    return {"polyu": rows | {"best": rows["balanced"]}}


def _row(scores: Mapping[str, list[float]], seconds: Mapping[str, list[float]], quality: str) -> dict[str, Any]:
    worst = min(a - b for a, b in zip(scores[quality], scores["fast"], strict=True))
    return decibels(scores[quality]) | {
        "over_fast": gain(scores[quality], scores["fast"]),
        "worst_over_fast": round(worst, 3),
        "seconds": round(sorted(seconds[quality])[len(seconds[quality]) // 2], 2),
    }
