"""The task: a dataset and how its images reach the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from noisewise.contracts import Noise, Shares
from noisewise.data.reidentification import ReidentificationDataset, ReidentificationImage
from noisewise.measure.retrieval import (
    Labels,
    Retrieval,
    cmc,
    cosine_distances,
    mean_average_precision,
    rank_matches,
)
from noisewise.measure.statistics import Interval, paired_bootstrap
from noisewise.tasks.comparable import ComparableTask, Progress, ignored
from noisewise.tasks.noisy_batches import Preprocess
from noisewise.tasks.reidentification.embedding import embed

__all__ = ["Reidentification", "map_difference"]

_RANKS = (1, 5, 10)


@dataclass(frozen=True)
class Reidentification(ComparableTask[Retrieval]):
    """Find each query's individual in the gallery by the cosine distance of features.

    Called with a model it yields ``mAP``, ``rank1``, ``rank5`` and ``rank10`` in percent, as means over the queries
    that have a match.

    Attributes:
        data: queries and gallery; both are corrupted.
        preprocess, noise, size, flip, batch_size: as for :func:`embed`.
        seed: of the noise, and of the resampling behind an interval.
    """

    data: ReidentificationDataset
    preprocess: Preprocess | None = None
    noise: Noise | None = None
    seed: int = 0
    size: tuple[int, int] | None = None
    flip: bool = False
    batch_size: int = 64

    def find(self, model: nn.Module, progress: Progress = ignored) -> Retrieval:
        """The ranks of every query's matches.

        Raises:
            ArgumentError: as for :func:`embed`.
        """
        query, gallery = self.data.query, self.data.gallery
        first = 0 if self.data.leave_one_out else len(query)  # image of the gallery
        features = self._features(model, query[:first] + gallery, progress)
        return rank_matches(
            cosine_distances(features[: len(query)], features[first:]),
            _labels(query),
            _labels(gallery),
            same_camera_is_junk=self.data.same_camera_is_junk,
            leave_one_out=self.data.leave_one_out,
        )

    def metrics(self, found: Retrieval) -> Iterator[tuple[str, float]]:
        """Name and value in percent of each metric.

        Raises:
            ArgumentError: no query has a match.
        """
        yield "mAP", 100 * mean_average_precision(found)
        for rank, share in zip(_RANKS, cmc(found, _RANKS), strict=True):
            yield f"rank{rank}", 100 * share

    def difference(self, first: Retrieval, second: Retrieval, progress: Shares = ignored) -> Interval:
        """Of mean average precision; see `map_difference`."""
        return map_difference(first, second, seed=self.seed)

    def _features(self, model: nn.Module, images: Sequence[ReidentificationImage], progress: Progress) -> Tensor:
        return embed(
            model,
            [image.path for image in images],
            size=self.size,
            noise=self.noise,
            seed=self.seed,
            preprocess=self.preprocess,
            flip=self.flip,
            batch_size=self.batch_size,
            progress=progress,
        )


def map_difference(first: Retrieval, second: Retrieval, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Difference in mAP, ``first`` less ``second``, in percentage points, with its paired bootstrap interval.

    The queries are resampled.

    Args:
        first: of one model, or under one noise.
        second: of the other, for the same queries in the same order.
        level: confidence level, in (0, 1).
        seed: of the resampling.

    Raises:
        ArgumentError: as for `paired_bootstrap`.
    """
    precisions = [100 * one.average_precisions for one in (first, second)]
    return paired_bootstrap(*precisions, level=level, seed=seed)


def _labels(images: Sequence[ReidentificationImage]) -> Labels:
    return Labels(np.array([image.identity for image in images]), np.array([image.camera for image in images]))
