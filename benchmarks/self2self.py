"""Self2Self and the shipped network: a race against the clock; what starts, sharpening and unclipping do to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.progress import track
from torch import Tensor, nn

import noisewise
from noisewise._rng import initialised, make_generator
from noisewise.measure.image import psnr
from noisewise.methods.nvt import Pyramid, choose_unsharp_mask
from noisewise.methods.single_image import Budget, Self2Self, fit_image
from noisewise.models.unet import UNet
from noisewise.restore.unclip import unclip
from photographs import cbsd68, corner, decibels, gain, white_noise
from pretraining import pretrained_start

__all__ = ["self2self_cells"]

IMAGES, SIGMA, TIMES = 5, 50, 100
STEPS, SIDE, LOOKS = 600, 96, 25
WIDTHS = (32, 48, 64)
FOREVER = 10**6


def self2self_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """The race on whole images; the rest on squares from their middle, for so many steps that it comes to an end."""
    paths = cbsd68(data)[: 2 if quick else IMAGES]
    told = {"times_as_long": TIMES, "steps": 2 if quick else STEPS, "side": SIDE}
    return told | {"race": race(paths, quick=quick)} | starts(data, paths, work, quick=quick)


def race(paths: list[Path], *, quick: bool) -> dict[str, Any]:
    """Clipped images; Self2Self has a hundred times as long as the shipped network takes."""
    rows = [raced(path, index, quick=quick) for index, path in enumerate(track(paths, description="self2self, race"))]
    scores = {name: [row[name] for row in rows] for name in rows[0]}
    seconds = scores.pop("fast_seconds")
    return cells(scores) | {"fast_seconds": sum(seconds) / len(seconds)}


def raced(path: Path, index: int, *, quick: bool) -> dict[str, float]:
    clean, noisy = (corner(image, quick=quick) for image in white_noise(path, index, SIGMA, clipped=True))
    noisewise.denoise(noisy[..., :64, :64])  # loads the weights
    began = time.perf_counter()
    fast = noisewise.denoise(noisy).image
    seconds = time.perf_counter() - began
    budget = Budget(FOREVER, 0.5 if quick else TIMES * seconds, check_every=25, patience=FOREVER)
    found = fit_image(Self2Self(), noisy, network=start("random"), budget=budget)
    steps = found.checks[-1].step
    return {
        "fast": decibel(fast, clean),
        "random": decibel(found.image, clean),
        "steps": steps,
        "fast_seconds": seconds,
    }


def starts(data: Path, paths: list[Path], work: Path, *, quick: bool) -> dict[str, Any]:
    """Every start on clipped and on unclipped squares, and PSNR over steps where they are clipped."""
    networks = {name: start(name) for name in ("random", "pyramid")} | {
        "nrl": pretrained_start(data, work, quick=quick)
    }
    scores: dict[str, dict[str, list[float]]] = {"clipped": {}, "unclipped": {}}
    curves: dict[str, list[list[tuple[int, float]]]] = {name: [] for name in networks}
    for kind, of in scores.items():
        for index, path in enumerate(track(paths, description=f"self2self, {kind}")):
            pair = [middle(image) for image in white_noise(path, index, SIGMA, clipped=kind == "clipped")]
            of.setdefault("fast", []).append(decibel(noisewise.denoise(pair[1]).image, pair[0]))
            for name, network in networks.items():
                curve: list[tuple[int, float]] = []
                for way, score in finished(name, network, *pair, curve, quick=quick):
                    of.setdefault(way, []).append(score)
                if kind == "clipped":
                    curves[name].append(curve)
    return {kind: cells(of) for kind, of in scores.items()} | {"psnr_over_steps": curves}


def finished(
    name: str, network: nn.Module, clean: Tensor, noisy: Tensor, curve: list[tuple[int, float]], *, quick: bool
) -> Iterator[tuple[str, float]]:
    """What comes of a start, and the same unclipped, sharpened, and both; masks are chosen without the clean image."""
    budget = Budget(2 if quick else STEPS, check_every=LOOKS, patience=FOREVER)
    watch = watcher(clean, noisy, curve)
    image = fit_image(Self2Self(), noisy, network=network, budget=budget, on_check=watch).image
    for way, estimate in ((name, image), (f"{name}, unclipped", unclip(image, SIGMA / 255))):
        yield way, decibel(estimate, clean)
        # the learner is frozen: how its result would follow the noise is not known, and taken for nothing
        frozen: Callable[[Tensor], Tensor] = lambda _, fixed=estimate: fixed  # noqa: E731
        choice = choose_unsharp_mask(noisy, frozen, SIGMA / 255, generator=make_generator(0))
        yield f"{way}, sharpened", decibel(choice.mask(estimate), clean)


def watcher(clean: Tensor, noisy: Tensor, curve: list[tuple[int, float]]) -> Callable[[Any, nn.Module], None]:
    def note(check: Any, network: nn.Module) -> None:
        estimate = Self2Self().estimate(network, noisy, make_generator(0), 4)
        curve.append((check.step, round(decibel(estimate, clean), 3)))

    return note


def start(name: str) -> nn.Module:
    """A new network, plain or with a pyramid."""
    if name == "random":
        return initialised(lambda: UNet(3, WIDTHS), 0)
    return initialised(lambda: Pyramid(UNet(3, WIDTHS), 3, WIDTHS), 0)


def middle(image: Tensor) -> Tensor:
    top, left = (image.shape[-2] - SIDE) // 2, (image.shape[-1] - SIDE) // 2
    return image[..., top : top + SIDE, left : left + SIDE]


def decibel(estimate: Any, clean: Tensor) -> float:
    return float(psnr(estimate, clean))


def cells(scores: Mapping[str, list[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {name: decibels(values) for name, values in scores.items() if name != "steps"}
    for name in found:
        found[name]["fast_over_it"] = gain(scores["fast"], scores[name])
    return found | ({"steps": scores["steps"]} if "steps" in scores else {})
