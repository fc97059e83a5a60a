"""Trained networks with noise inside: trained on with it, tested with it, and asked in several orders of the images."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from labelled_sets import whole_images
from noisewise._rng import make_generator
from noisewise.models.backbones import logits
from noisewise.models.preprocess import Preprocess
from noisewise.noise import parse_feature_noise
from noisewise.studies import audit
from noisewise.surgery import inject, remove_injections
from noisewise.train import Schedule
from noisewise.train.classifier import LabelledPixels, ShuffledBatches, train_on_labels

__all__ = ["BATCH", "Bench", "hits", "mean_hits", "noisy"]

BATCH = 10
_WIDE, _AUDITED = 64, 240
_STEPS, _RATE, _LEAST_CROP, _DECAY = 624, 2e-4, 0.6, 0.05


def hits(network: nn.Module, pixels: Tensor, labels: Tensor, order: Tensor, batch: int) -> list[int]:
    """1 for each image that is recognised, in the order of the data set, when batches are made in ``order``."""
    found = torch.zeros(len(labels), dtype=torch.long)
    with torch.inference_mode():
        for chosen in torch.split(order, batch):
            found[chosen] = (logits(network(pixels[chosen])).argmax(1) == labels[chosen]).long()
    return found.tolist()


@dataclass(frozen=True)
class Bench:
    """A trained network, what it is trained on further, and what it is tested on.

    Attributes:
        network: in evaluation mode; left as it is.
        training: its training images.
        pixels: test images in [0, 1].
        labels: of the test images.
        preprocess: from pixels to the network's input.
        steps: of further training.
    """

    network: nn.Module
    training: LabelledPixels
    pixels: Tensor
    labels: Tensor
    preprocess: Preprocess
    steps: int = _STEPS

    def trained_further(self, noise: str | None, seed: int) -> nn.Module:
        """Two epochs more, at a tenth of the rate, with noise in the last block or without."""
        schedule = Schedule(self.steps, _WIDE, self.pixels.shape[-1], _RATE, warmup=50, decay=0.7, ema=0.99)
        network = copy.deepcopy(self.network)
        batches = ShuffledBatches(self.training, schedule, self.preprocess, _LEAST_CROP, seed)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        with tempfile.TemporaryDirectory() as folder, noisy(network, noise, "train", seed):
            state = Path(folder) / "state"
            trained = train_on_labels(network, criterion, batches, state, weight_decay=_DECAY)
        remove_injections(trained)
        update_bn(whole_images(self.training, self.preprocess), trained)
        return trained

    def asked(self, network: nn.Module, noise: str | None, seed: int, place: str | int = "last") -> dict[str, Any]:
        """Hits without noise, and with noise in three orders; and whether predictions depend on their batch mates."""
        inputs, count = self.preprocess(self.pixels), len(self.labels)
        given, ordered = torch.arange(count), self.labels.argsort(stable=True)
        shuffled = torch.randperm(count, generator=make_generator(seed))
        found = {"off": hits(network, inputs, self.labels, given, _WIDE)}
        with noisy(network, noise, "test", seed, place):
            if noise is not None:
                found["shuffled"] = hits(network, inputs, self.labels, shuffled, BATCH)
                found["sorted"] = hits(network, inputs, self.labels, ordered, BATCH)
                found["bs1"] = hits(network, inputs, self.labels, given, 1)
            return found | {"order_dependent": self._depends(network, inputs, shuffled[:_AUDITED])}

    def _depends(self, network: nn.Module, inputs: Tensor, chosen: Tensor) -> bool:
        samples = list(zip(inputs[chosen], self.labels[chosen].tolist(), strict=True))
        return audit(lambda x: logits(network(x)), samples, batch_sizes=(1, BATCH)).order_dependent  # type: ignore[arg-type]


def noisy(
    network: nn.Module, noise: str | None, when: Any, seed: int, place: str | int = "last"
) -> AbstractContextManager[object]:
    """Within it, the network has noise at a place."""
    if noise is None:
        return nullcontext()
    return inject(network, {place: parse_feature_noise(noise)}, when=when, seed=seed, allow_batch_mixing=True)


def mean_hits(runs: Sequence[Sequence[int]]) -> list[float]:
    """For each image the share of the runs that recognised it, in percent."""
    return (100 * torch.tensor(runs, dtype=torch.float64).mean(0)).tolist()
