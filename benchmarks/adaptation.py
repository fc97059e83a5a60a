"""Between domains of Office-Caltech-10: source only, CORAL, DANN and TVT, with noise in training or without."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn

from cells import Hits, accuracy, points_over
from labelled_sets import unpacked
from noisewise._rng import initialised
from noisewise.data.classification import resize_and_crop
from noisewise.data.domains import DOMAIN_DATASETS
from noisewise.methods.adaptation import OBJECTIVES, Adaptation, adapt, observed_pass
from noisewise.models.backbones import logits
from noisewise.models.preprocess import resolve_preprocess
from noisewise.noise import parse_feature_noise
from noisewise.studies import grid_points, sweep
from noisewise.train import Schedule
from noisewise.train.classifier import LabelledPixels

__all__ = ["adaptation_cells"]

PAIRS = (("amazon", "webcam"), ("webcam", "amazon"))
METHODS: dict[str, tuple[str, str | None]] = {
    "source_only": ("source_only", None),
    "source_only_circular": ("source_only", "circular:strength=0.3"),
    "dann": ("dann", None),
    "tvt": ("tvt", None),
    "tvt_circular": ("tvt", "circular:strength=0.3"),
}
"""Objective, and noise in the last block while training."""
CLASSES, SIDE, STEPS, BATCH, RATE = 10, 64, 250, 32, 5e-4


def domain(root: Path, name: str, *, quick: bool) -> LabelledPixels:
    """The images of a domain as 8-bit squares."""
    images = DOMAIN_DATASETS["office_caltech10"](root, name, transform=resize_and_crop(SIDE, share=1.0))
    pairs = [images[index] for index in range(0, len(images), 8 if quick else 1)]
    pixels, labels = zip(*pairs, strict=True)
    return LabelledPixels((255 * torch.stack(pixels)).round().byte(), torch.tensor(labels))


def with_new_head(network: Any, seed: int) -> Any:
    """A copy with a classifier for the ten classes."""
    changed = copy.deepcopy(network)
    changed.head = initialised(lambda: nn.Linear(changed.num_features, CLASSES), seed)
    changed.num_classes = CLASSES
    return changed


@dataclass(frozen=True)
class AdaptationRun:
    """An experiment for a sweep: a method between two domains.

    Attributes:
        domains: their images by name.
        network: trained on another set, without a classifier for these classes.
        work: folder for checkpoints.
    """

    domains: Mapping[str, LabelledPixels]
    network: nn.Module
    work: Path

    def __call__(
        self, *, source: str, target: str, method: str, seed: int, steps: int, device: str
    ) -> dict[str, list[int]]:
        """Hits on the target after adaptation; for the plain network also after CORAL on its features."""
        known, unknown = self.domains[source], self.domains[target]
        preprocess = resolve_preprocess(self.network)
        checkpoint = self.work / f"{source}-{target}-{method}-{seed}.checkpoint"
        pupil = with_new_head(self.network, seed)
        trained = adapt(
            pupil, known, unknown.images, how_to(method, seed, steps), preprocess=preprocess, checkpoint=checkpoint
        )
        checkpoint.unlink()
        inputs = [preprocess(data.images / 255) for data in (known, unknown)]
        found = {"hits": recognised(trained, inputs[1], unknown.labels)}
        return found | ({"coral": coral_hits(trained, inputs, known, unknown)} if method == "source_only" else {})


def how_to(method: str, seed: int, steps: int) -> Adaptation:
    objective, noise = METHODS[method]
    schedule = Schedule(steps, BATCH, SIDE, RATE, warmup=steps // 10, decay=0.5, ema=0.99)
    places = {} if noise is None else {"last": parse_feature_noise(noise)}
    return Adaptation(OBJECTIVES[objective], schedule, places, seed)


@torch.inference_mode()
def recognised(network: nn.Module, inputs: Tensor, labels: Tensor) -> list[int]:
    """1 for each image whose class the network tells."""
    scores = torch.cat([logits(network(part)) for part in torch.split(inputs, 64)])
    return (scores.argmax(1) == labels).long().tolist()


@torch.inference_mode()
def coral_hits(network: nn.Module, inputs: list[Tensor], known: LabelledPixels, unknown: LabelledPixels) -> list[int]:
    """Skada's CORAL (Sun, Feng and Saenko, AAAI 2016) on the features of the network trained on the source."""
    from skada import CORALAdapter, make_da_pipeline
    from sklearn.linear_model import LogisticRegression

    features = torch.cat([observed_pass(network, part).features for part in inputs]).double().numpy()
    domains = np.repeat([1, -2], [len(known.labels), len(unknown.labels)])  # sources are positive, targets negative
    masked = torch.cat([known.labels, torch.full_like(unknown.labels, -1)]).numpy()
    pipeline = make_da_pipeline(CORALAdapter(reg=0.1), LogisticRegression(max_iter=1000))
    pipeline.fit(features, masked, sample_domain=domains)
    answers = pipeline.predict(features[len(known.labels) :], sample_domain=domains[len(known.labels) :])
    return (torch.tensor(answers) == unknown.labels).long().tolist()


def adaptation_cells(
    data: Path, work: Path, network: nn.Module, seeds: tuple[int, ...], *, quick: bool
) -> dict[str, Any]:
    with unpacked(data / "office-caltech10.tar") as folder:
        domains = {name: domain(folder, name, quick=quick) for name in ("amazon", "webcam")}
    experiment, cells = AdaptationRun(domains, network, work), {}
    for source, target in track(PAIRS, description="adaptation"):
        grid = {"source": [source], "target": [target], "method": list(METHODS), "seed": seeds}
        points = grid_points(grid | {"steps": [2 if quick else STEPS]})
        rows = sweep(experiment, points, work / "adaptation.jsonl")
        runs = {name: [row["hits"] for row in rows if row["method"] == name] for name in METHODS}
        runs["coral"] = [row["coral"] for row in rows if "coral" in row]
        cells[f"{source} -> {target}"] = {name: judged(found, runs["source_only"]) for name, found in runs.items()}
    return cells


def judged(runs: Hits, plain: Hits) -> dict[str, Any]:
    """Accuracy on the target, and points over the network that was trained on the source alone."""
    return accuracy(runs) | {"over_source_only": points_over(runs, plain)}
