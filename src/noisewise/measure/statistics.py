"""Uncertainty of a mean: bootstrap over many images, plain and paired; Student's t over a few runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noisewise.errors import ArgumentError

__all__ = ["Interval", "bootstrap_mean", "paired_bootstrap", "percentile_interval", "student_interval"]

_MAX_DRAWS_AT_ONCE = 2**21


class Interval(NamedTuple):
    """A mean and the limits of its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float] | NDArray[np.floating], *, resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Mean of independent values with its percentile bootstrap interval (Efron and Tibshirani 1993, section 13.3).

    Args:
        values: one number per independent unit (image, run), at least two, all finite.
        resamples: number of bootstrap samples.
        level: confidence level, in (0, 1).
        seed: of the resampling.

    Raises:
        ArgumentError: fewer than two values, values that are not finite, or a level outside (0, 1).
    """
    from scipy.stats import bootstrap

    sample = np.asarray(values, dtype=np.float64)
    _require_sample(sample, level)
    result = bootstrap(
        (sample,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _MAX_DRAWS_AT_ONCE // sample.size),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(sample.mean()), float(result.low), float(result.high))


def paired_bootstrap(
    a: Sequence[float] | NDArray[np.floating],
    b: Sequence[float] | NDArray[np.floating],
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of ``a - b`` over the same units with its percentile bootstrap interval.

    Pairs are resampled together, so that what the units share (an easy image is easy for both) cancels.

    Args:
        a: one number per unit for the first method.
        b: one number per unit for the second, in the same order.
        resamples: number of bootstrap samples.
        level: confidence level, in (0, 1).
        seed: of the resampling.

    Raises:
        ArgumentError: the lengths differ, or as for :func:`bootstrap_mean`.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ArgumentError(
            f"expected one value of each method for every unit, got {first.size} and {second.size}; "
            "drop the units that only one of them has"
        )
    return bootstrap_mean(first - second, resamples=resamples, level=level, seed=seed)


def percentile_interval(
    value: float, resampled: Sequence[float] | NDArray[np.floating], *, level: float = 0.95
) -> Interval:
    """A value with the percentile interval of its bootstrap samples, for what is no mean (Efron and Tibshirani 1993).

    Args:
        value: measured on all units.
        resampled: the same measured on each bootstrap sample of them, all finite.
        level: confidence level, in (0, 1).

    Raises:
        ArgumentError: as for :func:`bootstrap_mean`.
    """
    sample = np.asarray(resampled, dtype=np.float64)
    _require_sample(sample, level)
    low, high = np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def student_interval(values: Sequence[float] | NDArray[np.floating], *, level: float = 0.95) -> Interval:
    """Mean of a few independent runs with the interval ``mean +- t s / sqrt(n)``, for values that are about normal.

    Three runs are too few for a bootstrap, which cannot see beyond them.

    Args:
        values: one number per run, at least two, all finite.
        level: confidence level, in (0, 1).

    Raises:
        ArgumentError: as for :func:`bootstrap_mean`.
    """
    from scipy.special import stdtrit

    sample = np.asarray(values, dtype=np.float64)
    _require_sample(sample, level)
    half = stdtrit(sample.size - 1, (1 + level) / 2) * sample.std(ddof=1) / np.sqrt(sample.size)
    return Interval(float(sample.mean()), float(sample.mean() - half), float(sample.mean() + half))


def _require_sample(sample: NDArray[np.float64], level: float) -> None:
    if sample.ndim != 1 or sample.size < 2:
        raise ArgumentError(f"expected a list of at least two values, got shape {sample.shape}; measure more units")
    if not np.isfinite(sample).all():
        raise ArgumentError("expected finite values, got NaN or infinity; drop or repair those units first")
    if not 0 < level < 1:
        raise ArgumentError(f"expected a confidence level between 0 and 1, got {level!r}; 0.95 is usual")
