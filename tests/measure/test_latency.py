"""The ratio of two networks' times, on a clock that the test winds and on the real one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from noisewise.errors import ArgumentError
from noisewise.measure.latency import latency_ratio

BATCH = torch.zeros(1)


class Clock:
    def __init__(self):
        self.now, self.calls = 0.0, []

    def perf_counter(self):
        return self.now


class Timed(nn.Module):
    """Takes as long as it is told at each call."""

    def __init__(self, clock, name, seconds):
        super().__init__()
        self.clock, self.name, self.seconds = clock, name, seconds

    def forward(self, batch):
        self.clock.calls.append(self.name)
        self.clock.now += self.seconds(len(self.clock.calls))
        return batch


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("noisewise.measure.latency.time.perf_counter", clock.perf_counter)
    return clock


def test_constant_times_give_their_ratio_and_an_interval_of_no_width(clock):
    result = latency_ratio(Timed(clock, "a", lambda _: 3.0), Timed(clock, "b", lambda _: 2.0), BATCH)
    assert result == pytest.approx((1.5, 1.5, 1.5, 3.0, 2.0))


def test_calls_alternate_so_that_a_linear_drift_cancels(clock):
    slower = [Timed(clock, name, lambda calls: 1.0 + 0.1 * calls) for name in "ab"]
    result = latency_ratio(*slower, BATCH, rounds=8, warm_up=1)
    assert "".join(clock.calls) == "abba" * 9
    assert result[:3] == pytest.approx((1.0, 1.0, 1.0))


def test_an_interruption_does_not_count(clock):
    first = Timed(clock, "a", lambda calls: 500.0 if calls in (41, 61) else 1.0)
    result = latency_ratio(first, Timed(clock, "b", lambda _: 1.0), BATCH, rounds=20)
    assert result[:3] == pytest.approx((1.0, 1.0, 1.0))


def test_warming_up_does_not_count(clock):
    first = Timed(clock, "a", lambda calls: 500.0 if calls <= 12 else 1.0)
    result = latency_ratio(first, Timed(clock, "b", lambda _: 1.0), BATCH, rounds=6, warm_up=3)
    assert result == pytest.approx((1.0, 1.0, 1.0, 1.0, 1.0))


def test_the_interval_of_six_rounds_is_their_range(clock):
    """The chance that six values lie on one side of the median is 2 / 2 ** 6, below one in twenty (Conover 1999)."""
    first = Timed(clock, "a", lambda calls: 1.0 + (calls - 1) // 4)
    result = latency_ratio(first, Timed(clock, "b", lambda _: 1.0), BATCH, rounds=6, warm_up=0)
    assert result[:3] == pytest.approx((3.5, 1.0, 6.0))


def test_more_work_takes_longer_on_a_real_clock():
    batch = torch.zeros(64, 512)
    once, often = nn.Linear(512, 512), nn.Sequential(*(nn.Linear(512, 512) for _ in range(16)))
    result = latency_ratio(often, once, batch, rounds=10)
    assert result.low > 2
    assert 0 < result.second_seconds < result.first_seconds


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_work_that_a_gpu_has_not_finished_counts():
    batch = torch.zeros(4096, 4096, device="cuda")
    once, often = (nn.Sequential(*(nn.Linear(4096, 4096) for _ in range(n))).cuda() for n in (1, 8))
    assert latency_ratio(often, once, batch).low > 4


def test_too_few_rounds_are_refused():
    with pytest.raises(ArgumentError, match="at least 6 rounds"):
        latency_ratio(nn.Identity(), nn.Identity(), BATCH, rounds=5)
