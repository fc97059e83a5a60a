"""Training in two processes beside one, and files on two workers of which one is killed.

Run as a script, this is what each process of the training does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState

from noisewise.data import Source, cluster, find_images, write_image
from noisewise.data.image import ImageFile
from noisewise.data.patches import PatchSampler
from noisewise.data.ray_batch import run_batch_on_ray
from noisewise.restore.files import denoise_file
from noisewise.train import NoisyPatches, read_recipe, train_denoiser
from photographs import cbsd68, white_noise

__all__ = ["scale_cells"]

STEPS, BATCH, PATCH = 20, 8, 48
FILES, SIDE, WORKERS, FATAL = 16, 160, 2, 4
LAUNCHER = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
SETTINGS = ("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")


def scale_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    """The greatest gap of the loss at any step, relative to that of one process, and the files that got lost."""
    photographs, steps = data / "bsds500/train", 3 if quick else STEPS
    alone, *_ = losses(work / "alone", photographs, steps)
    together = losses(work / "together", photographs, steps, *LAUNCHER, *SETTINGS)
    gaps = [abs(ours - one) / one for run in together for ours, one in zip(run, alone, strict=True)]
    trained = {"accelerate_loss_gap": max(gaps), "processes": len(together), "steps": steps, "batch": BATCH}
    return trained | killed_worker(data, work / "files", 6 if quick else FILES)


def losses(work: Path, photographs: Path, steps: int, *launcher: str) -> list[list[float]]:
    """Of every step, by process."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    command = [sys.executable, *launcher, __file__, photographs, work, steps]
    subprocess.run(list(map(str, command)), check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    return [json.loads(path.read_text()) for path in sorted(work.glob("*.json"))]


def train_here(photographs: Path, work: Path, steps: int) -> None:
    """The shipped recipe for a few steps in single precision; the losses go to a file of this process."""
    recipe = read_recipe("denoiser")
    recipe = replace(recipe, schedule=replace(recipe.schedule, steps=steps, batch=BATCH, patch=PATCH))
    data = NoisyPatches(PatchSampler(sorted(photographs.glob("*.jpg"))[:20], PATCH), recipe, seed=0)
    found: list[float] = []

    def note(step: int, loss: float) -> None:
        found.append(loss)

    train_denoiser(recipe, data, work / "checkpoint", progress=note, mixed_precision="no")
    (work / f"{PartialState().process_index}.json").write_text(json.dumps(found))


def killed_worker(data: Path, work: Path, count: int) -> dict[str, Any]:
    """Noisy photographs cleaned by two workers, of which one is killed at work on one of them."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "log").mkdir(parents=True)
    for index, path in enumerate(cbsd68(data)[:count]):
        noisy = white_noise(path, index, 25, clipped=True)[1][0, :, :SIDE, :SIDE]
        pixels = (255 * noisy).round().byte().movedim(0, -1).numpy()
        write_image(ImageFile(pixels), work / f"{index:02}.png")
    sources = find_images([work])
    targets = [work / "clean" / source.path.name for source in sources]
    with cluster(processors=WORKERS) as ray:
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the benchmarks
        outcomes = list(run_batch_on_ray(sources, targets, cleaned, journal=None, check=lambda target: None))
    begun = len(list((work / "log").glob("*.begun")))
    done = [outcome.target for outcome in outcomes if outcome.status == "done"]
    lost = sum(target not in done or not target.is_file() for target in targets)
    twice = len(outcomes) - len(set(done)) - lost
    told = {"ray_files": count, "ray_files_begun_again": begun - count}
    return told | {"ray_files_lost": lost, "ray_files_told_twice": twice}


def cleaned(index: int, source: Source, target: Path) -> Mapping[str, Any]:
    """A file; the worker that is first at the fatal one dies when it has written it, before it can tell."""
    log = source.path.parent / "log"
    first = not list(log.glob(f"{index}.*"))
    (log / f"{index}.{os.getpid()}.begun").touch()
    found = denoise_file(source.path, target, overwrite=True)
    if first and index == FATAL:
        os.kill(os.getpid(), signal.SIGKILL)
    return found


if __name__ == "__main__":
    train_here(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
