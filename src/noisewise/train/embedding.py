"""What re-identification adds to training on labels: batches with several images of each individual, and its loss."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from noisewise._rng import place_generator
from noisewise.errors import ArgumentError
from noisewise.train.classifier import ShuffledBatches

__all__ = ["IdentityBatches", "IdentityLoss"]

_IDENTITIES = 3  # apart from the purposes of plain batches


@dataclass(frozen=True, eq=False)
class IdentityBatches(ShuffledBatches):
    """Batches of P identities with K images each, so that every image has a match (Hermans et al. 2017, section 2).

    Of an identity with fewer than K images some are taken twice, in other crops.

    Attributes:
        per_identity: K; P is what fits into the schedule's batch.
    """

    per_identity: int = 4
    shared: ClassVar[bool] = False  # a share would have hardly two images of anyone

    def choose(self, step: int) -> Integer[Tensor, " batch"]:
        """Which images are in the batch of ``step``."""
        generator = place_generator(self.seed, _IDENTITIES, step)
        identities = sorted(set(self.data.labels.tolist()))
        drawn = torch.randperm(len(identities), generator=generator)[: self.schedule.batch // self.per_identity]
        return torch.cat([self._images_of(identities[place], generator) for place in drawn.tolist()])

    def _images_of(self, identity: int, generator: torch.Generator) -> Tensor:
        own = torch.nonzero(self.data.labels == identity)[:, 0]
        rounds = -(-self.per_identity // len(own))
        return own[torch.randperm(len(own), generator=generator)].repeat(rounds)[: self.per_identity]


class IdentityLoss(nn.Module):
    """Batch-hard triplets plus cross-entropy over the identities, both on L2-normalised embeddings.

    The strong baseline of Luo et al. (2019) with the classifier of Zhai and Wu (2019), whose cosines are what is
    compared when images are retrieved. From pytorch-metric-learning.

    Args:
        identities: how many individuals there are to train on.
        dimensions: of the embeddings.
        margin: by which the farthest match must be nearer than the nearest other identity.
        temperature: of the cross-entropy.

    Raises:
        ArgumentError: pytorch-metric-learning is not installed.
    """

    def __init__(self, identities: int, dimensions: int, *, margin: float, temperature: float) -> None:
        super().__init__()
        losses, miners = _metric_learning("losses"), _metric_learning("miners")
        self.miner = miners.BatchHardMiner()
        self.triplets = losses.TripletMarginLoss(margin=margin)
        self.classes = losses.NormalizedSoftmaxLoss(identities, dimensions, temperature=temperature)

    def forward(self, embeddings: Float[Tensor, "batch features"], labels: Integer[Tensor, " batch"]) -> Tensor:
        """The sum of both losses."""
        with torch.autocast(embeddings.device.type, enabled=False):  # cosines need all their digits
            hardest = self.miner(embeddings, labels)
            loss: Tensor = self.triplets(embeddings, labels, hardest) + self.classes(embeddings, labels)
        return loss


def _metric_learning(part: str) -> ModuleType:
    try:
        return import_module(f"pytorch_metric_learning.{part}")
    except ImportError as error:
        raise ArgumentError(
            "this loss needs pytorch-metric-learning; install it with: pip install 'noisewise[reid]'"
        ) from error
