"""Optimal Q inside groups known to show one thing, beside the mean of the outputs: views, bursts, tracklets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn

from cells import interval
from denoiserep import REID_OUTPUTS, REID_SIDE, trained
from labelled_sets import unpacked
from noisewise._rng import make_generator
from noisewise.data.reidentification import read_nyala
from noisewise.data.resized import load_resized
from noisewise.measure.retrieval import Labels, cosine_distances, rank_matches
from noisewise.measure.statistics import bootstrap_mean, paired_bootstrap
from noisewise.models.backbones import logits
from noisewise.models.preprocess import resolve_preprocess
from noisewise.models.small import strided_resnet
from noisewise.noise import Gaussian, Grouped, OptimalQ
from noisewise.studies import InjectionStudy
from noisewise.surgery import Injection, inject

__all__ = ["grouped_cells"]

VIEWS = 8
PLACES = {"classifier": "global_pool", "last_block": "layer3", "two_stages_earlier": "layer1"}
"""Modules after which features are mixed: before the classifier, before the last block, two stages before that."""

_IMAGES, _AT_ONCE, _FARTHEST, _SIGMA = 1000, 20, 4, 46 / 255


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrored or not, and moved by up to four pixels."""
    padded = F.pad(images, (_FARTHEST,) * 4, mode="reflect")
    moves = torch.randint(2 * _FARTHEST + 1, (len(images), 2), generator=generator).tolist()
    mirrored = torch.randint(2, (len(images),), generator=generator).bool()
    height, width = images.shape[-2:]
    moved = [one[:, y : y + height, x : x + width] for one, (y, x) in zip(padded, moves, strict=True)]
    views = torch.stack(moved)
    return torch.where(mirrored[:, None, None, None], views.flip(-1), views)


def burst(images: Tensor, generator: torch.Generator) -> Tensor:
    """The same scene in another draw of strong noise."""
    return Gaussian(_SIGMA)(images, generator=generator)


def noisy_and_shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    return burst(shifted(images, generator), generator)


KINDS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "shifted_views": shifted,
    "static_burst": burst,
    "moving_burst": noisy_and_shifted,
}


def view_cells(study: InjectionStudy, kind: str, count: int) -> dict[str, Any]:
    """Accuracy of one view, of the mean of eight outputs, and of one view after Q at each place."""
    generator, hits = make_generator(0), {name: [] for name in ("one_view", "logit_averaging", *PLACES)}
    for start in track(range(0, count, _AT_ONCE), description=kind):
        images, labels = (values[start : start + _AT_ONCE] for values in study.held_out)
        views = KINDS[kind]((images / 255).repeat_interleave(VIEWS, dim=0), generator)
        inputs = study.preprocess(views)
        for name, answers in answers_by_method(study.network, inputs).items():
            hits[name] += (100.0 * (answers == labels)).tolist()
    cells: dict[str, Any] = {name: interval(bootstrap_mean(values, seed=0)) for name, values in hits.items()}
    for name in PLACES:
        against = paired_bootstrap(hits[name], hits["logit_averaging"], seed=0)
        cells[name]["over_logit_averaging"] = interval(against)
    return cells


@torch.inference_mode()
def answers_by_method(network: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    scores = logits(network(inputs)).unflatten(0, (-1, VIEWS))
    answers = {"one_view": scores[:, 0].argmax(1), "logit_averaging": scores.mean(1).argmax(1)}
    for name, place in PLACES.items():
        with mixed(network, place, VIEWS):
            answers[name] = logits(network(inputs))[::VIEWS].argmax(1)
    return answers


def mixed(network: nn.Module, place: str | None, groups: Any) -> Injection:
    places = {} if place is None else {place: Grouped(OptimalQ(), groups)}
    return inject(network, places, when="test", allow_batch_mixing=True)


@torch.inference_mode()
def tracklet_cells(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Mean average precision on Nyala; a tracklet is the images of one flank of one individual."""
    network = trained(lambda: strided_resnet(REID_OUTPUTS, REID_SIDE), "reid")
    images = read_nyala(folder).query[: 64 if quick else None]
    pixels = torch.stack([load_resized(image.path, (REID_SIDE, REID_SIDE)) for image in images])
    inputs = resolve_preprocess(network)(pixels)
    tracklets = [f"{image.identity} {image.camera}" for image in images]
    labels = Labels(np.array([image.identity for image in images]), np.array([image.camera for image in images]))
    features = {"one_image": embedded(network, inputs, None, tracklets)}
    features["embedding_averaging"] = averaged(features["one_image"], tracklets)
    features |= {name: embedded(network, inputs, place, tracklets) for name, place in PLACES.items()}
    return {name: ranked(values, labels, tracklets) for name, values in features.items()}


def embedded(network: nn.Module, inputs: Tensor, place: str | None, tracklets: list[str]) -> Tensor:
    with mixed(network, place, tracklets):
        return F.normalize(logits(network(inputs)))


def averaged(features: Tensor, tracklets: list[str]) -> Tensor:
    """The normalised mean of each tracklet, for each of its images."""
    same = torch.tensor(np.equal.outer(tracklets, tracklets)).to(features)
    return F.normalize(same @ features)


def ranked(features: Tensor, labels: Labels, tracklets: list[str]) -> Mapping[str, Any]:
    """Mean average precision and rank 1 in percent over tracklets, whose images are no independent queries.

    Images of the query's own flank, which it was mixed with, are junk and the other flank must be found. ``read_nyala``
    by itself counts both flanks, as the hardening benchmark does, whose figures are therefore others.
    """
    found = rank_matches(cosine_distances(features, features), labels, labels, leave_one_out=True)
    _, groups = np.unique(np.array(tracklets)[found.queries], return_inverse=True)
    precisions, firsts = (
        100 * np.bincount(groups, values) / np.bincount(groups) for values in (found.average_precisions, found.hits(1))
    )
    return {"mAP": interval(bootstrap_mean(precisions, seed=0)), "rank1": interval(bootstrap_mean(firsts, seed=0))}


def grouped_cells(data: Path, study: InjectionStudy, *, quick: bool) -> dict[str, Any]:
    images = 20 if quick else min(_IMAGES, len(study.held_out.labels))
    cells: dict[str, Any] = {kind: view_cells(study, kind, images) for kind in KINDS}
    with unpacked(data / "nyala.tar") as folder:
        cells["tracklets"] = tracklet_cells(folder, quick=quick)
    return {"views": VIEWS, "images": images} | cells
