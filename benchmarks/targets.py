"""What the shipped denoiser, trained on two CPU cores, is meant to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["TARGETS", "beside_targets"]

Results = Mapping[str, Any]


class Target(NamedTuple):
    """One demanded figure: its name, how to read it from the results, and the bound it must reach."""

    case: str
    read: Callable[[Results], float]
    bound: float
    at_least: bool = True


def _psnr(data: str, sigma: int) -> Callable[[Results], float]:
    return lambda results: results[data]["unclipped"][str(sigma)]["noisewise"]["psnr"]


def _lost_by_clipping(sigma: int) -> Callable[[Results], float]:
    def read(results: Results) -> float:
        cells = (results["cbsd68"][kind][str(sigma)]["noisewise"]["psnr"] for kind in ("unclipped", "clipped"))
        return next(cells) - next(cells)

    return read


def _cost(name: str) -> Callable[[Results], float]:
    return lambda results: results["costs"][name]


TARGETS = (
    Target("CBSD68 unclipped, blind, sigma 15, dB", _psnr("cbsd68", 15), 33.6),
    Target("CBSD68 unclipped, blind, sigma 25, dB", _psnr("cbsd68", 25), 30.9),
    Target("CBSD68 unclipped, blind, sigma 50, dB", _psnr("cbsd68", 50), 27.6),
    Target("Kodak24 full frame, blind, sigma 25, dB", _psnr("kodak24", 25), 31.8),
    Target("Kodak24 full frame, blind, sigma 50, dB", _psnr("kodak24", 50), 28.7),
    Target("CBSD68 lost by clipping, sigma 25, dB", _lost_by_clipping(25), 0.15, at_least=False),
    Target("CBSD68 lost by clipping, sigma 50, dB", _lost_by_clipping(50), 0.5, at_least=False),
    Target("PolyU, nothing told, dB", lambda results: results["polyu"]["noisewise"]["psnr"], 38.0),
    Target("Kodak image 768x512, warm, s", _cost("kodak_768x512_seconds_warm"), 1.5, at_least=False),
    Target("diagnosis of a megapixel, warm, s", _cost("diagnose_megapixel_seconds_warm"), 0.5, at_least=False),
    Target("demo, s", _cost("demo_seconds"), 90, at_least=False),
    Target("tiled against untiled, of 255", _cost("tiled_minus_untiled_of_255"), 1.0, at_least=False),
    Target("import beyond torch, s", _cost("import_seconds_beyond_torch"), 0.3, at_least=False),
)


def beside_targets(results: Results) -> list[dict[str, object]]:
    """Each target with what was measured."""
    rows = []
    for target in TARGETS:
        measured = round(target.read(results), 3)
        met = measured >= target.bound if target.at_least else measured <= target.bound
        rows.append({"case": target.case, "target": target.bound, "measured": measured, "met": met})
    return rows
