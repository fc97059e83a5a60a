"""Noise inside a network as a study: trained with it, tested with it, each figure asked in several orders and audited.

Source: Explore Positive Noise in Deep Learning, whose figures are those of class-sorted batches.
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.statistics import bootstrap_mean
from noisewise.models.preprocess import Preprocess, network_input
from noisewise.noise import FeatureNoise, parse_feature_noise
from noisewise.studies.audit import audit
from noisewise.studies.batch_mates import network_predictor
from noisewise.studies.results import rounded
from noisewise.surgery import When, fingerprint, inject, remove_injections
from noisewise.tasks.classification import evaluate
from noisewise.train import Schedule
from noisewise.train.classifier import LabelledPixels, ShuffledBatches, train_on_labels

__all__ = ["CONTROL", "STATES", "Answers", "InjectionStudy"]

CONTROL = "none"
"""The noise of a control run: training goes on just as long, with nothing injected."""

STATES = ("off", "shuffled", "sorted", "bs1")
"""Without noise; with it, in batches made at random, in batches sorted by class, and in batches of one image."""

_MIXED_BATCH, _WIDE_BATCH = 10, 64
_AUDITED = 240
_STATISTICS_IMAGES = 2048
_LEAST_CROP, _WEIGHT_DECAY, _SMOOTHING = 0.6, 0.05, 0.1

Places = Mapping[str | int, FeatureNoise]


class Answers(NamedTuple):
    """Which held-out images a network recognised, by state, and whether its scores depend on batch mates."""

    hits: dict[str, Tensor]
    """Booleans, one for each image in the order of the data set."""
    order_dependent: bool

    def figures(self) -> dict[str, Any]:
        """Accuracy of each state in percent, its 95 % interval over the images, and the verdict; JSON-ready."""
        found: dict[str, Any] = {}
        for state, hits in self.hits.items():
            mean, low, high = rounded(bootstrap_mean((100 * hits.double()).numpy(), resamples=2000, seed=0))
            found |= {state: mean, f"{state}_ci95": [low, high]}
        return found | {"order_dependent": self.order_dependent}


@dataclass(eq=False)
class InjectionStudy:
    """An experiment for :func:`noisewise.studies.sweep`: strength x layer x noise x seed x (train | test | both).

    >>> study = InjectionStudy(network, held_out, preprocess, training, schedule)
    >>> grid = {"noise": ["optimal"], "strength": [0.5, 1.0], "layer": ["last"], "seed": [0], "when": ["train", "both"]}
    >>> rows = sweep(study, grid_points(grid | {"study": [study.fingerprint()]}), Path("rows.jsonl"))

    With ``when`` last in the grid, each training serves ``train`` and ``both``.

    Attributes:
        network: trained; copies of it are trained on and asked, it is left as it is.
        held_out: what it is tested on.
        preprocess: from pixels in [0, 1] to its input.
        training: what it is trained on further with noise inside; not needed where noise is on at test time only.
        schedule: of the further training, which runs on the device of :meth:`answers` if that is a GPU; otherwise on
            torch's current GPU, or on the CPU where there is none.

    Raises:
        ArgumentError: images without labels, or labels without images.
    """

    network: nn.Module
    held_out: LabelledPixels
    preprocess: Preprocess
    training: LabelledPixels | None = None
    schedule: Schedule | None = None
    _latest: tuple[tuple[Any, ...], nn.Module] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, data in (("held_out", self.held_out), ("training", self.training)):
            if data is not None and len(data.images) != len(data.labels):
                raise ArgumentError(
                    f"expected a label for each image of {name}, got {len(data.images)} images and {len(data.labels)} "
                    "labels; leave out the images whose class is not known"
                )

    def __call__(
        self, *, noise: str, strength: float, layer: str | int, when: When, seed: int, device: str, study: str = ""
    ) -> dict[str, Any]:
        """The figures of one point of the grid, see :meth:`answers`; ``study`` only tells it from those of others."""
        return self.answers(noise, strength, layer, when, seed, device).figures()

    def fingerprint(self) -> str:
        """A short text that differs for other weights, images or training; a field for every point of a grid."""
        data = save({str(index): tensor for index, tensor in enumerate([*self.held_out, *(self.training or ())])})
        settings = f"{fingerprint(self.network)} {self.preprocess} {self.schedule}"
        return hashlib.sha256(settings.encode() + data).hexdigest()[:16]

    def answers(
        self, noise: str, strength: float, layer: str | int, when: When, seed: int, device: str = "cpu"
    ) -> Answers:
        """Train on if ``when`` says so, then ask about every held-out image in every state.

        Args:
            noise: its specification, such as ``"circular:strength=1"``, or ``"none"`` for the control.
            strength: factor on its level.
            layer: a place as :func:`noisewise.surgery.inject` takes it.
            when: in which mode the noise is on; for ``"train"``, the states are asked without it.
            seed: of training, noise and shuffling.
            device: where the images are asked about; see ``schedule`` for the training.

        Raises:
            ArgumentError: an unknown noise or ``when``, or training without images or schedule.
            SurgeryError: a place that does not exist.
        """
        if when not in get_args(When):
            raise ArgumentError(f"expected when to be one of {get_args(When)}, got {when!r}")
        places = {} if noise == CONTROL else {layer: parse_feature_noise(noise).scaled(strength)}
        at_test = {} if when == "train" else places
        if when == "test":
            network = copy.deepcopy(self.network).to(device).eval()
        else:
            network = self._trained((noise, strength, layer, seed), places, at_test, device)
        return self._asked(network, at_test, seed)

    def _trained(self, key: tuple[Any, ...], places: Places, at_test: Places, device: str) -> nn.Module:
        """The last training is kept, for what differs between ``train`` and ``both`` is the statistics alone."""
        if self._latest is None or self._latest[0] != key:
            with _current_gpu(device):
                self._latest = key, self._train(places, seed=key[-1])
        return self._with_own_statistics(copy.deepcopy(self._latest[1]).to(device), at_test, seed=key[-1])

    def _train(self, places: Places, *, seed: int) -> nn.Module:
        network = copy.deepcopy(self.network)
        training, schedule = self._lesson()
        batches = ShuffledBatches(training, schedule, self.preprocess, _LEAST_CROP, seed)
        criterion = nn.CrossEntropyLoss(label_smoothing=_SMOOTHING)
        with tempfile.TemporaryDirectory() as folder, inject(network, places, when="train", seed=seed):
            state = Path(folder) / "state.safetensors"
            trained = train_on_labels(network, criterion, batches, state, weight_decay=_WEIGHT_DECAY)
        remove_injections(trained)
        return trained.eval()

    def _with_own_statistics(self, network: nn.Module, places: Places, *, seed: int) -> nn.Module:
        """Of whole images and of the noise it will meet: averaged weights have none (Izmailov et al., UAI 2018)."""
        training, _ = self._lesson()
        most = min(_STATISTICS_IMAGES, len(training.images) // _WIDE_BATCH * _WIDE_BATCH) or len(training.images)
        chosen = torch.randperm(len(training.images), generator=make_generator(0))[:most]
        parts = torch.split(training.images[chosen], _WIDE_BATCH)
        with inject(network, places, when="train", seed=seed):
            update_bn((network_input(network, part / 255, self.preprocess) for part in parts), network)
        return network.eval()

    def _lesson(self) -> tuple[LabelledPixels, Schedule]:
        if self.training is None or self.schedule is None:
            raise ArgumentError("expected training images and a schedule to train with noise; or use when='test'")
        return self.training, self.schedule

    def _asked(self, network: nn.Module, places: Places, seed: int) -> Answers:
        count, labels = len(self.held_out.labels), self.held_out.labels
        given, shuffled = torch.arange(count), torch.randperm(count, generator=make_generator(seed))
        hits = {"off": self._hits(network, given, _WIDE_BATCH)}
        with inject(network, places, when="test", seed=seed, allow_batch_mixing=True):
            hits["shuffled"] = self._hits(network, shuffled, _MIXED_BATCH)
            hits["sorted"] = self._hits(network, labels.argsort(stable=True), _MIXED_BATCH)
            hits["bs1"] = self._hits(network, given, 1)
            return Answers(hits, self._depends_on_mates(network, shuffled[:_AUDITED]))

    def _hits(self, network: nn.Module, order: Tensor, batch: int) -> Tensor:
        """Which images are recognised, in the order of the data set, when batches are made in ``order``."""
        parts = torch.split(order, batch)
        batches = ((self.held_out.images[part] / 255, self.held_out.labels[part]) for part in parts)
        return evaluate(network, batches, preprocess=self.preprocess).top1[order.argsort()]

    def _depends_on_mates(self, network: nn.Module, chosen: Tensor) -> bool:
        images, labels = self.held_out.images[chosen] / 255, self.held_out.labels[chosen].tolist()
        samples: Any = list(zip(images, labels, strict=True))
        predict = network_predictor(network, self.preprocess)
        return audit(predict, samples, batch_sizes=(1, _MIXED_BATCH)).order_dependent


def _current_gpu(device: str) -> AbstractContextManager[object]:
    """Within it, ``device`` is torch's current GPU, which is the one that the training loop takes."""
    return torch.cuda.device(device) if torch.device(device).type == "cuda" else nullcontext()
