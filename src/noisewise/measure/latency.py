"""How much longer one network takes than another."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.errors import ArgumentError

__all__ = ["LatencyRatio", "latency_ratio"]

_FEWEST_ROUNDS = 6
"""The median of fewer values has no interval of 95 %."""


class LatencyRatio(NamedTuple):
    """The time of one network over that of another."""

    ratio: float
    """Median over the rounds; 1.0 is equal speed, more is slower than the second."""
    low: float
    high: float
    """Limits of the median's 95 % confidence interval."""
    first_seconds: float
    second_seconds: float
    """Median time of one call."""


def latency_ratio(
    first: nn.Module, second: nn.Module, batch: Tensor, *, rounds: int = 30, warm_up: int = 3
) -> LatencyRatio:
    """Time of ``first`` over time of ``second`` on one batch, both on the device of ``batch``.

    Each round calls first, second, second, first, so that a drift of the machine's speed meets both alike, and gives
    one ratio; the median lets rounds go in which something else took the machine. Its interval is the exact one of
    order statistics (Conover 1999, section 3.2), which assumes no distribution.

    Args:
        first: such as a fused network.
        second: such as the one it was made from.
        batch: what both are called with.
        rounds: of four calls each, at least six.
        warm_up: rounds before those, which do not count.

    Raises:
        ArgumentError: too few rounds.
    """
    if rounds < _FEWEST_ROUNDS:
        raise ArgumentError(f"expected at least {_FEWEST_ROUNDS} rounds for an interval, got {rounds}; 30 are usual")
    with torch.inference_mode():
        times = np.array([_round(first, second, batch) for _ in range(warm_up + rounds)])[warm_up:]
    ratios = times[:, 0] / times[:, 1]
    first_seconds, second_seconds = np.median(times, axis=0)
    return LatencyRatio(
        float(np.median(ratios)), *_median_interval(ratios), float(first_seconds), float(second_seconds)
    )


def _round(first: nn.Module, second: nn.Module, batch: Tensor) -> tuple[float, float]:
    """Mean seconds of one call of each, in the order ABBA."""
    seconds = [_seconds(network, batch) for network in (first, second, second, first)]
    return (seconds[0] + seconds[3]) / 2, (seconds[1] + seconds[2]) / 2


def _seconds(network: nn.Module, batch: Tensor) -> float:
    _finish(batch.device)
    start = time.perf_counter()
    network(batch)
    _finish(batch.device)
    return time.perf_counter() - start


def _finish(device: torch.device) -> None:
    """Wait for the kernels that an accelerator has been sent but not done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _median_interval(values: np.ndarray) -> tuple[float, float]:
    from scipy.stats import quantile_test

    interval = quantile_test(values, p=0.5).confidence_interval(0.95)
    return float(interval.low), float(interval.high)
