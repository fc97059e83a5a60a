"""Noise within groups of samples: each a batch of its own, and the matrix of them all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.noise import CircularShift, FeatureGaussian, Grouped, OptimalQ, violated_constraints


def disturb(noise, features, seed=0):
    return noise(features, generator=make_generator(seed))


def tokens(count):
    return torch.randn(count, 3, 5, generator=make_generator(1), dtype=torch.float64)


def test_groups_are_batches_of_their_own():
    features = tokens(6)
    by_size = disturb(Grouped(OptimalQ(), 3), features)
    for half in (slice(0, 3), slice(3, 6)):
        torch.testing.assert_close(by_size[half], disturb(OptimalQ(), features[half]))
    names = ["a", "b", "a", "b", "b", "c"]
    by_name = disturb(Grouped(OptimalQ(), names), features)
    for name in "abc":
        members = [index for index, other in enumerate(names) if other == name]
        torch.testing.assert_close(by_name[members], disturb(OptimalQ(), features[members]))


def test_groups_may_come_as_a_tensor_and_groups_of_one_mix_nothing():
    tracks = torch.tensor([3, 7, 3, 7, 7, 3])
    by_tensor = disturb(Grouped(OptimalQ(), tracks), tokens(6))
    assert torch.equal(by_tensor, disturb(Grouped(OptimalQ(), tracks.tolist()), tokens(6)))
    assert torch.equal(disturb(Grouped(OptimalQ(), 1), tokens(6)), tokens(6))
    assert not Grouped(OptimalQ(), 1).mixes_samples
    assert hash(Grouped(OptimalQ(), [1, 2])) == hash(Grouped(OptimalQ(), (1, 2)))


@pytest.mark.parametrize("size", [np.int64(3), np.uint8(3), torch.tensor(3)])
def test_the_size_of_a_group_may_be_any_whole_number(size):
    assert Grouped(OptimalQ(), size) == Grouped(OptimalQ(), 3)
    assert Grouped(OptimalQ(), np.array([3, 1])) == Grouped(OptimalQ(), [3, 1])


GROUPS = [3, ["a", "b", "a", "b", "b", "c"], range(6)]


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("linear", [CircularShift(0.3), OptimalQ(0.7), Grouped(OptimalQ(), 1)])
def test_a_grouped_noise_is_the_product_with_its_matrix(linear, groups):
    grouped, features = Grouped(linear, groups), tokens(6)
    total = torch.eye(6) + grouped.quality_matrix(6)
    torch.testing.assert_close(disturb(grouped, features), torch.einsum("kb,bnc->knc", total, features))
    assert grouped.violated_constraints(6) == violated_constraints(grouped.quality_matrix(6))


def test_the_matrix_of_neighbours_is_block_diagonal():
    block = OptimalQ().quality_matrix(3)
    assert torch.equal(Grouped(OptimalQ(), 3).quality_matrix(6), torch.block_diag(block, block))
    assert Grouped(CircularShift(0.5), 2).violated_constraints(4)[0] == "I + Q is singular"


@pytest.mark.parametrize("inner", [FeatureGaussian(), OptimalQ(axis="tokens"), Grouped(FeatureGaussian(), 3)])
def test_a_noise_without_a_matrix_over_the_batch_has_none_in_groups(inner):
    for method in ("quality_matrix", "violated_constraints"):
        with pytest.raises(ArgumentError, match=r"linear noise over the batch, such as OptimalQ\(\)"):
            getattr(Grouped(inner, 3), method)(6)


@pytest.mark.parametrize(("groups", "told"), [(4, "whole groups of 4.*got 6"), ([1, 2], "batch of 2.*got 6")])
def test_a_batch_that_does_not_fit_the_groups_is_refused(groups, told):
    with pytest.raises(ArgumentError, match=told):
        disturb(Grouped(OptimalQ(), groups), tokens(6))


def test_a_matrix_for_rows_that_do_not_fit_the_groups_is_refused():
    with pytest.raises(ArgumentError, match=r"whole groups of 4.*got 6"):
        Grouped(OptimalQ(), 4).quality_matrix(6)
