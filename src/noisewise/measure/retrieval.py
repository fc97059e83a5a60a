"""Retrieval: where the images of the same individual come in a gallery sorted by distance from a query.

Ties count against the query: of gallery images at one distance, those of other identities come first. So no score
depends on the order of the gallery, and a network that maps all images to one point gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from noisewise.errors import ArgumentError

__all__ = [
    "Labels",
    "Retrieval",
    "average_precision",
    "cmc",
    "cosine_distances",
    "match_ranks",
    "mean_average_precision",
    "rank_matches",
]

_QUERIES_AT_ONCE = 256


class Labels(NamedTuple):
    """Who is on each image of a list, and which camera took it: arrays of one number or name per image."""

    identities: NDArray[Any]
    cameras: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Where the matches of each query came.

    Attributes:
        queries: positions of the queries that have a match in the gallery, ascending; the others are left out.
        ranks: for each of these queries the ranks of its matches, ascending, 1 for the nearest image.
        left_out: number of queries without a match.
    """

    queries: NDArray[np.int64]
    ranks: tuple[NDArray[np.int64], ...]
    left_out: int

    @property
    def average_precisions(self) -> NDArray[np.float64]:
        """The average precision of each of ``queries``, in [0, 1]."""
        return np.array([average_precision(ranks) for ranks in self.ranks])

    def hits(self, rank: int) -> NDArray[np.float64]:
        """For each of ``queries``, 1 if a match is among its ``rank`` nearest images, else 0."""
        return np.array([float(ranks[0] <= rank) for ranks in self.ranks])


def match_ranks(distances: NDArray[np.floating[Any]], matching: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ranks of the matching images in a gallery sorted by distance: ``rank_k = k + #{others: d <= d_k}``.

    Args:
        distances: of each gallery image from the query.
        matching: which of them show the query's identity.

    Returns:
        One rank per matching image, ascending, 1 for the nearest image.
    """
    matches, others = np.sort(distances[matching]), distances[~matching]
    before = [np.count_nonzero(others <= distance) for distance in matches]  # cheaper than to sort a large gallery
    return np.arange(1, len(matches) + 1) + np.array(before, dtype=np.int64)


def average_precision(ranks: NDArray[np.integer[Any]]) -> float:
    """``AP = 1/M sum_k k / rank_k``: the mean of the precision at each of the M matches.

    The non-interpolated form (Manning et al. 2008, section 8.4) of today's re-identification papers; the first
    evaluation code of Market-1501 interpolated by trapezoids, which gives other values.

    Args:
        ranks: of the matches, ascending, at least one; as from :func:`match_ranks`.
    """
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def rank_matches(
    distances: Iterable[NDArray[np.floating[Any]]],
    query: Labels,
    gallery: Labels,
    *,
    same_camera_is_junk: bool = True,
    leave_one_out: bool = False,
) -> Retrieval:
    """Sort the gallery for every query and find its matches: the images of its identity.

    Args:
        distances: for each query in turn its distances from all gallery images: a matrix, or an iterator that makes
            row after row where the matrix would not fit in memory. Negate similarities.
        query: labels of the queries.
        gallery: labels of the gallery.
        same_camera_is_junk: ignore, as neither right nor wrong, images of the query's identity from its own camera.
        leave_one_out: the gallery is the list of queries; ignore each query in its own gallery.

    Raises:
        ArgumentError: a row that is not one finite distance per gallery image.
        ValueError: more or fewer rows than queries.
    """
    found = []
    rows = zip(distances, query.identities, query.cameras, strict=True)
    for index, (row, identity, camera) in enumerate(rows):
        _require_distances(row, len(gallery.identities))
        matching = gallery.identities == identity
        valid = ~(matching & (gallery.cameras == camera)) if same_camera_is_junk else np.ones_like(matching)
        if leave_one_out:
            valid[index] = False
        found.append(match_ranks(row[valid], matching[valid]))
    answered = np.flatnonzero([len(ranks) > 0 for ranks in found])
    return Retrieval(answered, tuple(found[index] for index in answered), len(found) - len(answered))


def cosine_distances(
    queries: Float[Tensor, "queries features"], gallery: Float[Tensor, "gallery features"]
) -> Iterator[NDArray[np.floating[Any]]]:
    """``1 - q . g`` of L2-normalised features, one row per query; holds a few hundred rows in memory at a time."""
    for chunk in torch.split(queries, _QUERIES_AT_ONCE):
        yield from (1 - chunk @ gallery.T).cpu().numpy()


def mean_average_precision(retrieval: Retrieval) -> float:
    """Mean of the queries' average precisions, in [0, 1].

    Raises:
        ArgumentError: no query has a match.
    """
    _require_matches(retrieval)
    return float(retrieval.average_precisions.mean())


def cmc(retrieval: Retrieval, ranks: Sequence[int] = (1, 5, 10)) -> tuple[float, ...]:
    """Cumulative matching characteristic: the share of queries with a match among the nearest images.

    Args:
        retrieval: from :func:`rank_matches`.
        ranks: how many of the nearest images are looked at, each at least 1.

    Returns:
        One share in [0, 1] for each of ``ranks``.

    Raises:
        ArgumentError: no query has a match.
    """
    _require_matches(retrieval)
    return tuple(float(retrieval.hits(rank).mean()) for rank in ranks)


def _require_distances(row: NDArray[np.floating[Any]], images: int) -> None:
    if row.shape != (images,):
        raise ArgumentError(f"expected {images} distances, one per gallery image, got shape {row.shape}")
    if not np.isfinite(row).all():
        raise ArgumentError("expected finite distances, got NaN or infinity; look for them in the network's features")


def _require_matches(retrieval: Retrieval) -> None:
    if not retrieval.ranks:
        raise ArgumentError(
            f"none of the {retrieval.left_out} queries has a match in the gallery; "
            "check the identities, or pass same_camera_is_junk=False if one camera took all images"
        )
