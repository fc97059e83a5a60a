"""Mean and covariance of features: numpy's, whatever the split, or an error that says why not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from noisewise._rng import make_generator
from noisewise.errors import SurgeryError
from noisewise.surgery import FeatureMoments, find_layers, record_moments


def features(samples, groups=1, size=3, seed=0):
    """Correlated, far from zero, so that a one-pass sum of squares would lose digits."""
    rows = torch.randn(samples, groups, size, dtype=torch.float64, generator=make_generator(seed))
    return (rows.cumsum(-1) + 1000).contiguous()


def recorded(model, batches, side="input"):
    return record_moments(model, find_layers(model), batches, model, side=side)


def assert_moments(moments, rows, **tolerance):
    """Against numpy, group by group; ``rows`` are ``N x G x D``."""
    tolerance = {"rtol": 1e-10, "atol": 1e-10} | tolerance
    assert moments.samples == len(rows)
    for group, (mean, covariance) in enumerate(zip(moments.mean, moments.covariance, strict=True)):
        values = rows[:, group].numpy()
        np.testing.assert_allclose(mean, values.mean(0), **tolerance)
        np.testing.assert_allclose(covariance, np.cov(values.T, ddof=0).reshape(covariance.shape), **tolerance)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**31))
def test_they_are_those_of_numpy(samples, groups, size, seed):
    rows = features(samples, groups, size, seed)
    moments = FeatureMoments.of(rows)
    assert_moments(moments, rows)
    second = np.einsum("ngi,ngj->gij", rows.numpy(), rows.numpy()) / samples
    np.testing.assert_allclose(moments.second_moment, second, rtol=1e-12)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.randoms(), st.integers(0, 2**31))
def test_merging_any_split_in_any_order_is_the_whole(sizes, random, seed):
    rows = features(sum(sizes), 2, 3, seed)
    parts = [FeatureMoments.of(part) for part in rows.split(sizes)]
    random.shuffle(parts)
    *_, merged = itertools.accumulate(parts, FeatureMoments.merged)
    assert_moments(merged, rows, rtol=1e-9, atol=1e-9)


def test_positions_of_a_map_are_samples_and_groups_stay_apart():
    model = nn.Conv2d(4, 6, 3, groups=2).double().eval()
    images = features(3 * 5 * 5, 1, 4).reshape(3, 5, 5, 4).movedim(-1, 1)
    inputs = images.movedim(1, -1).reshape(-1, 2, 2)
    assert_moments(recorded(model, images.split(2))[""], inputs)
    outputs = model(images).detach().movedim(1, -1).reshape(-1, 2, 3)
    assert_moments(recorded(model, images.split(2), "output")[""], outputs)


def test_layers_come_in_the_order_of_calls_and_the_uncalled_are_missing():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first, self.never = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.second(self.first(x))

    assert list(recorded(Backwards().eval(), [torch.rand(4, 3)])) == ["first", "second"]


def test_a_layer_that_is_called_twice_pools_its_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3).double()

        def forward(self, x):
            return self.layer(self.layer(x))

    model, rows = Twice().eval(), features(7)[:, 0]
    both = torch.cat([rows, model.layer(rows).detach()])[:, None]
    assert_moments(recorded(model, [rows])["layer"], both)


def test_half_precision_features_are_summed_in_double():
    model = nn.Linear(3, 3).bfloat16().eval()
    rows = features(500).bfloat16()
    assert_moments(recorded(model, [rows[:, 0]])[""], rows.double())


def test_an_empty_batch_among_others_does_not_count():
    rows = features(4)
    moments = recorded(nn.Linear(3, 3).double().eval(), [rows[:2, 0], rows[:0, 0], rows[2:, 0]])[""]
    assert_moments(moments, rows)


@pytest.mark.parametrize("batches", [[], [torch.empty(0, 3)]], ids=["no batch", "a batch of nothing"])
def test_without_data_there_is_an_error(batches):
    with pytest.raises(SurgeryError, match="the loader is empty"):
        recorded(nn.Linear(3, 3).eval(), batches)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", ["input", "output"])
def test_values_that_are_not_finite_are_an_error_that_names_the_layer(value, side):
    batch = torch.rand(4, 3)
    batch[2, 1] = value
    with pytest.raises(SurgeryError, match=f"the {side} of layer 0 is not finite; check the preprocessing"):
        recorded(nn.Sequential(nn.Linear(3, 3)).eval(), [torch.rand(4, 3), batch], side)


def test_the_network_has_no_hooks_left_even_after_an_error():
    model = nn.Sequential(nn.Linear(3, 3)).eval()
    recorded(model, [torch.rand(4, 3)])
    with pytest.raises(RuntimeError):
        recorded(model, [torch.rand(4, 5)])
    assert not model[0]._forward_pre_hooks
    assert not model[0]._forward_hooks
