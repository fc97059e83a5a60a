"""Noise inside a network as a study: trained with it, tested with it, each figure asked in several orders and audited.

Source: Explore Positive Noise in Deep Learning, whose figures are those of class-sorted batches.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.statistics import bootstrap_mean
from noisewise.models.backbones import logits
from noisewise.models.preprocess import Preprocess
from noisewise.noise import FeatureNoise, parse_feature_noise
from noisewise.studies.audit import audit
from noisewise.surgery import When, inject, remove_injections
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
            interval = bootstrap_mean((100 * hits.double()).numpy(), resamples=2000, seed=0)
            found[state] = round(interval.mean, 2)
            found[f"{state}_ci95"] = [round(interval.low, 2), round(interval.high, 2)]
        return found | {"order_dependent": self.order_dependent}


@dataclass(frozen=True, eq=False)
class InjectionStudy:
    """An experiment for :func:`noisewise.studies.sweep`: strength x layer x noise x (train | test | both) x seed.

    >>> study = InjectionStudy(network, held_out, preprocess, training, schedule)
    >>> grid = {"noise": ["optimal"], "strength": [0.5, 1.0], "layer": ["last"], "when": ["train", "test"], "seed": [0]}
    >>> rows = sweep(study, grid_points(grid), Path("rows.jsonl"))

    Attributes:
        network: trained, in evaluation mode; left as it is.
        held_out: what it is tested on.
        preprocess: from pixels in [0, 1] to its input.
        training: what it is trained on further with noise inside; not needed where noise is on at test time only.
        schedule: of the further training.
    """

    network: nn.Module
    held_out: LabelledPixels
    preprocess: Preprocess
    training: LabelledPixels | None = None
    schedule: Schedule | None = None
    _latest: dict[tuple[Any, ...], nn.Module] = field(default_factory=dict, init=False, repr=False)

    def __call__(
        self, *, noise: str, strength: float, layer: str | int, when: When, seed: int, device: str
    ) -> dict[str, Any]:
        """The figures of one point of the grid; see :meth:`answers`."""
        return self.answers(noise, strength, layer, when, seed, device).figures()

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
            device: that computes.

        Raises:
            ArgumentError: an unknown noise, or training without images or schedule.
            SurgeryError: a place that does not exist.
        """
        places = {} if noise == CONTROL else {layer: parse_feature_noise(noise).scaled(strength)}
        network = self.network if when == "test" else self._trained((noise, strength, layer, seed), places, device)
        return self._asked(network, {} if when == "train" else places, seed, device)

    def _trained(self, key: tuple[Any, ...], places: Places, device: str) -> nn.Module:
        """Kept until the next one is asked for: ``train`` and ``both`` share it."""
        if key not in self._latest:
            network = self._train(places, seed=key[-1], device=device)
            self._latest.clear()
            self._latest[key] = network
        return self._latest[key]

    def _train(self, places: Places, *, seed: int, device: str) -> nn.Module:
        if self.training is None or self.schedule is None:
            raise ArgumentError("expected training images and a schedule to train with noise; or use when='test'")
        if torch.device(device).type == "cuda":
            torch.cuda.set_device(device)
        network = copy.deepcopy(self.network)
        batches = ShuffledBatches(self.training, self.schedule, self.preprocess, _LEAST_CROP, seed)
        criterion = nn.CrossEntropyLoss(label_smoothing=_SMOOTHING)
        with tempfile.TemporaryDirectory() as folder, _noisy(network, places, "train", seed):
            state = Path(folder) / "state.safetensors"
            trained = train_on_labels(network, criterion, batches, state, weight_decay=_WEIGHT_DECAY)
        remove_injections(trained)
        return self._with_statistics_of_whole_images(trained, self.training)

    def _with_statistics_of_whole_images(self, network: nn.Module, training: LabelledPixels) -> nn.Module:
        """Averaged weights need statistics of their own (Izmailov et al., UAI 2018, section 3.2)."""
        chosen = torch.randperm(len(training.images), generator=make_generator(0))[:_STATISTICS_IMAGES]
        parts = torch.split(training.images[chosen], _WIDE_BATCH)
        update_bn((self.preprocess(part / 255) for part in parts), network)
        return network.eval()

    def _asked(self, network: nn.Module, places: Places, seed: int, device: str) -> Answers:
        network.to(device)
        count, labels = len(self.held_out.labels), self.held_out.labels
        given, shuffled = torch.arange(count), torch.randperm(count, generator=make_generator(seed))
        hits = {"off": self._hits(network, given, _WIDE_BATCH, device)}
        with _noisy(network, places, "test", seed):
            hits["shuffled"] = self._hits(network, shuffled, _MIXED_BATCH, device)
            hits["sorted"] = self._hits(network, labels.argsort(stable=True), _MIXED_BATCH, device)
            hits["bs1"] = self._hits(network, given, 1, device)
            return Answers(hits, self._depends_on_mates(network, shuffled[:_AUDITED], device))

    @torch.inference_mode()
    def _hits(self, network: nn.Module, order: Tensor, batch: int, device: str) -> Tensor:
        """Which images are recognised, in the order of the data set, when batches are made in ``order``."""
        found = torch.zeros(len(order), dtype=torch.bool)
        for chosen in torch.split(order, batch):
            scores = logits(network(self._inputs(chosen, device)))
            found[chosen] = scores.argmax(1).cpu() == self.held_out.labels[chosen]
        return found

    def _depends_on_mates(self, network: nn.Module, chosen: Tensor, device: str) -> bool:
        samples: Any = list(zip(self._inputs(chosen, device), self.held_out.labels[chosen].tolist(), strict=True))
        return audit(lambda x: logits(network(x)), samples, batch_sizes=(1, _MIXED_BATCH)).order_dependent

    def _inputs(self, chosen: Tensor, device: str) -> Tensor:
        return self.preprocess((self.held_out.images[chosen] / 255).to(device))


def _noisy(network: nn.Module, places: Places, when: When, seed: int) -> AbstractContextManager[object]:
    """Within it, the network has noise in its places."""
    return inject(network, places, when=when, seed=seed, allow_batch_mixing=True) if places else nullcontext()
