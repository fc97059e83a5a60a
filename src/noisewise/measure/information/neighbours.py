"""Mutual information from distances to nearest neighbours; no model of the variables, few dimensions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray
from torch import Tensor

from noisewise.errors import ArgumentError
from noisewise.measure.information.gaussian import Samples, as_samples, standardised

__all__ = ["class_information", "neighbour_information"]

Array = NDArray[np.float64]


def neighbour_information(x: Samples, y: Samples, *, k: int = 3) -> float:
    """``I = psi(k) + psi(n) - <psi(n_x + 1) + psi(n_y + 1)>`` in nats, for two continuous variables.

    n_x counts the samples closer in x than the k-th neighbour is in (x, y), in the maximum norm; features are
    standardised first. The bias grows with the dimension: reduce features to about ten before. Estimates of weak
    dependence can fall below 0.

    Source: Kraskov, Stoegbauer and Grassberger 2004, Eq. 8.

    Raises:
        ArgumentError: k is not between 1 and the number of other samples, or x and y are no samples of two variables.
    """
    from scipy.spatial import KDTree
    from scipy.special import digamma

    _require_neighbours(k, len(x))
    a, b = (standardised(values).numpy() for values in as_samples(x, y))
    both = np.concatenate([a, b], axis=1)
    radius = KDTree(both).query(both, k + 1, p=np.inf)[0][:, -1]
    counts = [_closer(values, radius) for values in (a, b)]  # each counts the sample itself, which is the "+ 1"
    return float(digamma(k) + digamma(len(a)) - sum(digamma(count).mean() for count in counts))


def class_information(x: Samples, labels: Integer[Tensor, " samples"], *, k: int = 3) -> float:
    """``I = psi(n) + <psi(k)> - <psi(n_c)> - <psi(m)>`` in nats, for continuous x and classes.

    n_c is the number of samples in a sample's class, m counts those closer in x than its k-th neighbour of the
    class, itself included. Of small classes as many neighbours are taken as there are; a class of one is left out.

    Source: Ross 2014, Eq. 5.

    Raises:
        ArgumentError: k is not between 1 and the number of other samples, or no class has two.
    """
    from scipy.special import digamma

    _require_neighbours(k, len(x))
    samples, _ = as_samples(x, labels)
    names = labels.cpu().flatten().numpy()
    classes, counts = np.unique(names, return_counts=True)
    kept = np.isin(names, classes[counts > 1])
    if not kept.any():
        raise ArgumentError("expected a class of at least two samples, got one sample of each; pass more samples")
    points, names = standardised(samples).numpy()[kept], names[kept]
    radius, size, neighbours = _within_class(points, names, k)
    closer = _closer(points, radius)
    terms = digamma(neighbours) - digamma(size) - digamma(closer)
    return float(digamma(len(points)) + terms.mean())


def _within_class(points: Array, names: NDArray[np.int64], k: int) -> tuple[Array, Array, Array]:
    """For each sample: distance to its k-th neighbour of the class, size of the class, neighbours taken."""
    from scipy.spatial import KDTree

    radius, size, neighbours = (np.empty(len(points)) for _ in range(3))
    for name in np.unique(names):
        members = names == name
        taken = min(k, members.sum() - 1)
        radius[members] = KDTree(points[members]).query(points[members], taken + 1, p=np.inf)[0][:, -1]
        size[members], neighbours[members] = members.sum(), taken
    return radius, size, neighbours


def _closer(points: Array, radius: Array) -> Array:
    """How many samples are strictly closer to each than its radius, itself included."""
    from scipy.spatial import KDTree

    inside = np.nextafter(radius, 0)
    counts: Array = KDTree(points).query_ball_point(points, inside, p=np.inf, return_length=True)
    return counts


def _require_neighbours(k: int, samples: int) -> None:
    if not 1 <= k < samples:
        raise ArgumentError(f"expected k from 1 to {samples - 1}, the other samples, got {k}")
