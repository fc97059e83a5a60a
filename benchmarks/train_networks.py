"""Train a network that the benchmarks harden, on clean images, by its recipe in ``networks/``.

    python benchmarks/train_networks.py --data DIR --network NAME --seed N [--weights FILE] [--steps N] -o FILE

Killed and run again it goes on where it was. At the end it prints the network's scores on images it was not trained on.
"""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import update_bn

from labelled_sets import camvid, coco_people, nyala_training_images, tiny_imagenet, unpacked, whole_images
from noisewise._rng import initialised
from noisewise.contracts import Task
from noisewise.data.reidentification import read_nyala
from noisewise.measure.segmentation import IGNORED
from noisewise.models.preprocess import Preprocess, resolve_preprocess
from noisewise.models.small import small_detector, small_resnet, small_segmenter, small_vit, strided_resnet
from noisewise.tasks.classification import Classification
from noisewise.tasks.detection import Detection
from noisewise.tasks.reidentification import Reidentification
from noisewise.tasks.segmentation import Segmentation
from noisewise.train import Schedule
from noisewise.train.classifier import LabelledPixels, ShuffledBatches, train_on_labels
from noisewise.train.detector import JitteredBatches, train_detector
from noisewise.train.embedding import IdentityBatches, IdentityLoss

NETWORKS = Path(__file__).parent / "networks"
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


class Plan(NamedTuple):
    """How a network is trained."""

    recipe: Recipe
    schedule: Schedule
    folder: Path
    seed: int
    checkpoint: Path


Taught = tuple[nn.Module, Task]
"""A trained network, and what it is asked in the end."""


def taught_labels(teach: Callable[[Recipe, Path, Preprocess, int], Lesson], network: nn.Module, plan: Plan) -> Taught:
    preprocess, settings = resolve_preprocess(network), plan.recipe["training"]
    lesson = teach(plan.recipe, plan.folder, preprocess, plan.seed)
    batches = lesson.batches(lesson.pixels, plan.schedule, preprocess, settings["least_crop"], plan.seed)
    decay = settings["weight_decay"]
    trained = train_on_labels(network, lesson.criterion, batches, plan.checkpoint, weight_decay=decay, progress=show)
    update_bn(whole_images(lesson.pixels, preprocess), trained)
    return trained, lesson.task


def taught_people(network: nn.Module, plan: Plan) -> Taught:
    """Where people are; asked on the validation images."""
    photographs, settings = coco_people(plan.folder, "train2017"), plan.recipe["training"]
    batches = JitteredBatches(photographs, plan.schedule, tuple(settings["scales"]), plan.seed)
    decay = settings["weight_decay"]
    trained: Any = train_detector(network, batches, plan.checkpoint, weight_decay=decay, progress=show)
    update_bn((trained.transform([image])[0].tensors for image, _ in photographs), trained.backbone)
    return trained, Detection(coco_people(plan.folder, "val2017"))


class Pupil(NamedTuple):
    """A network to train: how it is built, the archive that it learns from, and who teaches it."""

    build: Callable[..., nn.Module]
    archive: str
    teach: Callable[[nn.Module, Plan], Taught]


PUPILS = {
    "resnet": Pupil(small_resnet, "tiny-imagenet-40.tar", partial(taught_labels, classes)),
    "strided_resnet": Pupil(strided_resnet, "tiny-imagenet-40.tar", partial(taught_labels, classes)),
    "vit": Pupil(small_vit, "tiny-imagenet-40.tar", partial(taught_labels, classes)),
    "segmenter": Pupil(small_segmenter, "camvid.tar", partial(taught_labels, pixels_of_streets)),
    "detector": Pupil(small_detector, "coco256.tar", taught_people),
    "reid": Pupil(strided_resnet, "nyala.tar", partial(taught_labels, individuals)),
}
"""By the name of their recipe."""


def train(
    name: str, data: Path, seed: int, steps: int | None, weights: Path | None, checkpoint: Path
) -> tuple[nn.Module, dict[str, float]]:
    """The trained network and its scores in percent."""
    pupil, recipe = PUPILS[name], read_network_recipe(name)
    schedule = Schedule(**recipe["schedule"] | ({} if steps is None else {"steps": steps}))
    network = initialised(lambda: pupil.build(**recipe["network"], side=schedule.patch), seed)
    start_trunk(network, recipe, weights)
    with unpacked(data / pupil.archive) as folder:
        trained, task = pupil.teach(network, Plan(recipe, schedule, folder, seed, checkpoint))
        return trained, dict(task(trained))


def start_trunk(network: nn.Module, recipe: Recipe, weights: Path | None) -> None:
    """Give the part that the recipe names the weights of a network of that kind; its other layers stay as drawn."""
    if "start" not in recipe:
        return
    trunk = network.get_submodule(recipe["start"]["trunk"])
    known = load_file(weights or NETWORKS / recipe["start"]["weights"])
    trunk.load_state_dict({name: known[name] for name in trunk.state_dict()})


def read_network_recipe(name: str) -> Recipe:
    return tomllib.loads((NETWORKS / f"{name}.toml").read_text())


def show(step: int, loss: float) -> None:
    if step % _LOGGED == 0:
        print(f"step {step}, loss {loss:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("NOISEWISE_DATA"), help="folder of the data sets")
    parser.add_argument("--network", choices=PUPILS, required=True, help="which recipe")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and crops")
    parser.add_argument("--steps", type=int, help="instead of the recipe's number of steps")
    parser.add_argument("--weights", type=Path, help="instead of those that the recipe's trunk starts from")
    parser.add_argument("-o", "--output", type=Path, required=True, help="weights to write")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder of the data sets with --data or NOISEWISE_DATA")
    checkpoint = arguments.output.with_name(f"{arguments.output.name}.checkpoint")
    how = arguments.network, Path(arguments.data), arguments.seed, arguments.steps, arguments.weights
    network, scores = train(*how, checkpoint)
    told = {"network": arguments.network, "seed": arguments.seed, "steps": arguments.steps or "all", "scores": scores}
    notes = {name: json.dumps(value) for name, value in told.items()}
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, arguments.output, notes)
    checkpoint.unlink()
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
