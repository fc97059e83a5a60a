"""How well and how fast noisewise denoises, beside the usual tools, in one run.

    python benchmarks/denoise.py --data DIR [--quick] [--json FILE]

Protocol: noise is drawn once per image from ``numpy.random.default_rng([seed, index])``, the images in sorted order;
"unclipped" noisy images stay floats, "clipped" ones are clipped to [0, 1] and rounded to 8 bits; PSNR over all RGB
pixels of the full image, the estimate clipped to [0, 1], mean of the per-image values with its 95 % bootstrap interval.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from rich.progress import track

import noisewise
from arguments import benchmark_parser, parse_with_data, write_results
from noisewise._rng import make_generator
from noisewise.data import find_pairs, read_image
from noisewise.measure.image import psnr, ssim
from noisewise.measure.statistics import bootstrap_mean
from noisewise.noise import NOISES, parse_noise
from provenance import peak_memory_mb, provenance
from targets import DENOISER, beside_targets
from yardsticks import METHODS, OPTIONAL, Image

SEED = 0
SIGMAS = (15, 25, 50, 75)
NEVER_TRAINED_ON = ("speckle",)
FAMILIES = {
    "gaussian": "gaussian:sigma=25",
    "poisson": "poisson:gain=4",
    "shot_read": "shot_read:gain=2,sigma=8",
    "shot_read_student_t": "shot_read:gain=2,sigma=8,tails=student_t",
    "shot_read_tukey_lambda": "shot_read:gain=2,sigma=8,tails=tukey_lambda",
    "rows": "rows:sigma=15+gaussian:sigma=5",
    "columns": "columns:sigma=15+gaussian:sigma=5",
    "quantisation": "quantisation:step=32",
    "color_bias": "color_bias:sigma=5+gaussian:sigma=15",
    "salt_and_pepper": "salt_and_pepper:probability=0.05",
    "speckle": "speckle:level=0.2",
    "correlated": "correlated:sigma=15,blur=0.8",
    "camera": "camera:gain=0.4,sigma=0.4+jpeg:quality=92",
    "jpeg": "gaussian:sigma=10+jpeg:quality=70",
    "eight_bit": "gaussian:sigma=40+eight_bit",
}
"""One row for every registered noise; some need white noise beside them to be what a camera shows."""

_COVERED = {part.split(":")[0] for spec in FAMILIES.values() for part in spec.split("+")}
if missing := set(NOISES) - _COVERED:
    raise SystemExit(f"no row for the noises {', '.join(sorted(missing))}; add them to FAMILIES")

Corrupt = Callable[[Image, int], Image]


@dataclass
class Score:
    """What one method reached on one set."""

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, estimate: Image, clean: Image, seconds: float) -> None:
        """Score one estimate."""
        batch, truth = (
            torch.from_numpy(np.ascontiguousarray(x)).movedim(-1, 0)[None].float() for x in (estimate, clean)
        )
        self.psnr.append(float(psnr(batch, truth)))
        self.ssim.append(float(ssim(batch, truth)))
        self.seconds.append(seconds)

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        interval = bootstrap_mean(self.psnr, seed=SEED)
        return {
            "psnr": round(float(np.mean(self.psnr)), 3),
            "psnr_ci95": [round(interval.low, 3), round(interval.high, 3)],
            "ssim": round(float(np.mean(self.ssim)), 4),
            "seconds": round(float(np.median(self.seconds)), 3),
            "images": len(self.psnr),
        }


def gaussian(sigma: int, *, clipped: bool) -> Corrupt:
    def corrupt(clean: Image, index: int) -> Image:
        rng = np.random.default_rng([SEED, index])
        noisy = (clean + sigma / 255 * rng.standard_normal(clean.shape)).astype(np.float32)
        return np.rint(noisy.clip(0, 1) * 255).astype(np.float32) / 255 if clipped else noisy

    return corrupt


def family(spec: str) -> Corrupt:
    noise = parse_noise(spec)

    def corrupt(clean: Image, index: int) -> Image:
        seed = int(np.random.default_rng([SEED, index]).integers(2**62))
        batch = torch.from_numpy(clean).movedim(-1, 0)[None]
        return noise(batch, generator=make_generator(seed))[0].movedim(0, -1).numpy()

    return corrupt


def evaluate(
    name: str, pairs: Iterator[tuple[Image, Image]], total: int, sigma: float | None, methods: Sequence[str]
) -> dict:
    """Each method on each (clean, noisy) pair."""
    scores = {method: Score() for method in methods}
    for clean, noisy in track(pairs, description=f"{name:32}", total=total):
        for method, score in scores.items():
            start = time.perf_counter()
            estimate = METHODS[method](noisy, sigma)
            score.add(estimate, clean, time.perf_counter() - start)
    return {method: score.as_dict() for method, score in scores.items()}


def load(path: Path) -> Image:
    return read_image(path).to_float()


def corrupted(paths: Sequence[Path], corrupt: Corrupt) -> Iterator[tuple[Image, Image]]:
    for index, path in enumerate(paths):
        clean = load(path)
        yield clean, corrupt(clean, index)


def gaussian_tables(name: str, paths: Sequence[Path], sigmas: Sequence[int]) -> dict:
    tables: dict[str, dict] = {}
    for kind in ("unclipped", "clipped"):
        # being told sigma is shown once, where sigma means what it says
        methods = [m for m in METHODS if m != "noisewise_told_sigma" or (name, kind) == ("cbsd68", "unclipped")]
        tables[kind] = {}
        for sigma in sigmas:
            pairs = corrupted(paths, gaussian(sigma, clipped=kind == "clipped"))
            tables[kind][str(sigma)] = evaluate(f"{name} {kind} {sigma}", pairs, len(paths), sigma / 255, methods)
    return tables


def family_tables(paths: Sequence[Path]) -> dict:
    methods = [method for method in METHODS if method != "noisewise_told_sigma"]
    rows = {}
    for name, spec in FAMILIES.items():
        rows[name] = evaluate(f"family {name}", corrupted(paths, family(spec)), len(paths), None, methods)
        rows[name] |= {"spec": spec, "trained_on": name not in NEVER_TRAINED_ON}
    return rows


def real_photographs(folder: Path, limit: int | None) -> dict:
    pairs = find_pairs(folder, layout="polyu")[:limit]
    images = ((load(pair.clean_path), load(pair.noisy_path)) for pair in pairs)
    methods = [method for method in METHODS if method != "noisewise_told_sigma"]
    return evaluate("polyu", images, len(pairs), None, methods)


def costs(kodak: Path) -> dict[str, object]:
    """Import time beyond torch, warm seconds for a Kodak image and a diagnosis, the demo, tiling, and memory."""
    noisy = gaussian(25, clipped=True)(load(kodak), 0)
    megapixel = np.pad(noisy, ((0, 1024 - noisy.shape[0]), (0, 1024 - noisy.shape[1]), (0, 0)), mode="symmetric")
    return {
        "kodak_768x512_seconds_warm": warm_seconds(lambda: noisewise.denoise(noisy)),
        "diagnose_megapixel_seconds_warm": warm_seconds(lambda: noisewise.diagnose(megapixel)),
        "demo_seconds": demo_seconds(),
        "tiled_minus_untiled_of_255": tiling_error(noisy),
        "import_seconds_beyond_torch": import_seconds("import noisewise"),
        "import_and_load_denoise_seconds": import_seconds("import noisewise; noisewise.denoise"),
        "peak_memory_mb": peak_memory_mb(),
    }


def warm_seconds(work: Callable[[], object]) -> float:
    """Median over five runs after a first one."""
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(float(np.median(seconds[1:])), 3)


def demo_seconds() -> float:
    """Of the whole command in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-m", "noisewise", "demo", "-o", f"{folder}/demo.html"]
        subprocess.run(command, capture_output=True, check=True)
        return round(time.perf_counter() - start, 1)


def tiling_error(noisy: Image) -> float:
    """Greatest difference, of 255, that tiles of 256 pixels make."""
    whole = noisewise.denoise(noisy).image
    with mock.patch("noisewise.restore.denoise._CORE", 256):
        return round(255 * float(np.abs(noisewise.denoise(noisy).image - whole).max()), 5)


def import_seconds(statement: str) -> float:
    """Median over five fresh processes that have imported torch already."""
    code = f"import torch, time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return round(float(np.median([float(run.stdout) for run in runs])), 3)


def run(data: Path, *, quick: bool) -> dict[str, object]:
    listed = (data / "cbsd68.txt").read_text().split()
    cbsd68 = sorted(next((data / "bsds500").rglob(f"{stem}.jpg")) for stem in listed)
    kodak = sorted((data / "kodak24").glob("*.png"))
    limit, sigmas = (3, (25,)) if quick else (None, SIGMAS)
    results: dict[str, object] = {
        "costs": costs(kodak[0]),
        "cbsd68": gaussian_tables("cbsd68", cbsd68[:limit], sigmas),
        "kodak24": gaussian_tables("kodak24", kodak[:limit], sigmas),
        "polyu": real_photographs(data / "polyu", limit),
        "families": family_tables(cbsd68[: 2 if quick else 12]),
    }
    figures = {} if quick else {"targets": beside_targets(results, DENOISER)}
    return results | figures | {"quick": quick, "provenance": provenance(SEED)}


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="three images a set: a smoke test, not a figure")
    parser.add_argument(
        "--with", dest="extra", choices=OPTIONAL, action="append", default=[], help="a further yardstick"
    )
    arguments = parse_with_data(parser)
    METHODS.update({name: OPTIONAL[name] for name in arguments.extra})
    write_results(run(arguments.data, quick=arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
