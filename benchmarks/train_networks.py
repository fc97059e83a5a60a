"""Train a network that the benchmarks harden, on clean images, by its recipe in ``networks/``.

    python benchmarks/train_networks.py --data DIR --network NAME --seed N [--steps N] -o FILE

Killed and run again it goes on where it was. At the end it prints the network's scores on images it was not trained on.
"""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import update_bn

from labelled_sets import camvid, nyala_training_images, tiny_imagenet, unpacked, whole_images
from noisewise.contracts import Task
from noisewise.data.reidentification import read_nyala
from noisewise.measure.segmentation import IGNORED
from noisewise.models.preprocess import Preprocess, resolve_preprocess
from noisewise.models.small import small_resnet, small_segmenter, small_vit, strided_resnet
from noisewise.tasks.classification import Classification
from noisewise.tasks.reidentification import Reidentification
from noisewise.tasks.segmentation import Segmentation
from noisewise.train import Schedule
from noisewise.train.classifier import LabelledPixels, ShuffledBatches, train_on_labels
from noisewise.train.embedding import IdentityBatches, IdentityLoss
from noisewise.train.loop import initialised

_LOGGED = 100

Recipe = dict[str, dict[str, Any]]


class Lesson(NamedTuple):
    """What a network learns, and what it is asked in the end."""

    pixels: LabelledPixels
    batches: type[ShuffledBatches]
    criterion: nn.Module
    task: Task


def classes(recipe: Recipe, folder: Path, preprocess: Preprocess, seed: int) -> Lesson:
    """The class of an image; asked on the validation images."""
    held_out = tiny_imagenet(folder, "val")
    batches = zip(held_out.images.split(250), held_out.labels.split(250), strict=True)
    task = Classification([(images / 255, labels) for images, labels in batches], preprocess=preprocess)
    criterion = nn.CrossEntropyLoss(**recipe["loss"])
    return Lesson(tiny_imagenet(folder, "train"), ShuffledBatches, criterion, task)


def individuals(recipe: Recipe, folder: Path, preprocess: Preprocess, seed: int) -> Lesson:
    """Who is like whom; asked on individuals that are not among those learnt from."""
    dataset, side = read_nyala(folder), recipe["schedule"]["patch"]
    pixels = nyala_training_images(dataset, side)
    sizes = len(pixels.labels.unique()), recipe["network"]["outputs"]
    criterion = initialised(lambda: IdentityLoss(*sizes, **recipe["loss"]), seed)
    return Lesson(pixels, IdentityBatches, criterion, Reidentification(dataset, preprocess, size=(side, side)))


def pixels_of_streets(recipe: Recipe, folder: Path, preprocess: Preprocess, seed: int) -> Lesson:
    """The class of every pixel; asked on the validation images."""
    held_out = camvid(folder, "val")
    batches = zip(held_out.images.split(8), held_out.labels.split(8), strict=True)
    found = [(images / 255, labels) for images, labels in batches]
    task = Segmentation(found, recipe["network"]["outputs"], preprocess=preprocess)
    criterion = nn.CrossEntropyLoss(ignore_index=IGNORED, **recipe["loss"])
    return Lesson(camvid(folder, "train"), ShuffledBatches, criterion, task)


class Pupil(NamedTuple):
    """A network to train: how it is built, the archive that it learns from, and what."""

    build: Callable[..., nn.Module]
    archive: str
    lesson: Callable[[Recipe, Path, Preprocess, int], Lesson]


PUPILS = {
    "resnet": Pupil(small_resnet, "tiny-imagenet-40.tar", classes),
    "strided_resnet": Pupil(strided_resnet, "tiny-imagenet-40.tar", classes),
    "vit": Pupil(small_vit, "tiny-imagenet-40.tar", classes),
    "segmenter": Pupil(small_segmenter, "camvid.tar", pixels_of_streets),
    "reid": Pupil(strided_resnet, "nyala.tar", individuals),
}
"""By the name of their recipe."""


def train(name: str, data: Path, seed: int, steps: int | None, checkpoint: Path) -> tuple[nn.Module, dict[str, float]]:
    """The trained network and its scores in percent."""
    pupil, recipe = PUPILS[name], read_network_recipe(name)
    schedule = Schedule(**recipe["schedule"] | ({} if steps is None else {"steps": steps}))
    network = initialised(lambda: pupil.build(**recipe["network"], side=schedule.patch), seed)
    preprocess, settings = resolve_preprocess(network), recipe["training"]
    with unpacked(data / pupil.archive) as folder:
        lesson = pupil.lesson(recipe, folder, preprocess, seed)
        batches = lesson.batches(lesson.pixels, schedule, preprocess, settings["least_crop"], seed)
        decay = settings["weight_decay"]
        trained = train_on_labels(network, lesson.criterion, batches, checkpoint, weight_decay=decay, progress=show)
        update_bn(whole_images(lesson.pixels, preprocess), trained)
        return trained, dict(lesson.task(trained))


def read_network_recipe(name: str) -> Recipe:
    return tomllib.loads((Path(__file__).parent / "networks" / f"{name}.toml").read_text())


def show(step: int, loss: float) -> None:
    if step % _LOGGED == 0:
        print(f"step {step}, loss {loss:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("NOISEWISE_DATA"), help="folder of the data sets")
    parser.add_argument("--network", choices=PUPILS, required=True, help="which recipe")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and crops")
    parser.add_argument("--steps", type=int, help="instead of the recipe's number of steps")
    parser.add_argument("-o", "--output", type=Path, required=True, help="weights to write")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder of the data sets with --data or NOISEWISE_DATA")
    checkpoint = arguments.output.with_name(f"{arguments.output.name}.checkpoint")
    network, scores = train(arguments.network, Path(arguments.data), arguments.seed, arguments.steps, checkpoint)
    told = {"network": arguments.network, "seed": arguments.seed, "steps": arguments.steps or "all", "scores": scores}
    notes = {name: json.dumps(value) for name, value in told.items()}
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, arguments.output, notes)
    checkpoint.unlink()
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
