"""Affine maps of features swallowed by the weights: the same function, to rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import affine_map, convolutions, features_of, linear_layers, normal, only_layer
from torch import nn

from noisewise.surgery import AffineMap, fold_input, fold_output, replace_weights

SEEDS = st.integers(0, 2**31)


def refolded(module, fold, affine):
    """A copy of ``module`` with ``affine`` folded into it."""
    layer, folded = only_layer(module), copy.deepcopy(module)
    replace_weights(folded, layer.restored(*fold(layer.kernel(), layer.offset(), affine)))
    return folded


def assert_same(came, expected):
    assert came.shape == expected.shape
    assert (came - expected).abs().max() <= 1e-12 * expected.abs().max().clamp_min(1)


@settings(max_examples=30)
@given(convolutions() | linear_layers(), SEEDS)
def test_a_map_before_a_layer_is_the_folded_layer(module, seed):
    layer = only_layer(module)
    size = layer.kernel().shape[2]
    before = affine_map(layer.groups, size, seed, offset=not layer.pads_with_zeros)
    features = features_of(layer, seed)
    assert_same(refolded(module, fold_input, before)(features), module(before(features, layer.channel_dim)))


@settings(max_examples=30)
@given(convolutions() | linear_layers(), SEEDS)
def test_a_map_behind_a_layer_is_the_folded_layer(module, seed):
    layer = only_layer(module)
    after = affine_map(layer.groups, layer.kernel().shape[1], seed)
    features = features_of(layer, seed)
    assert_same(refolded(module, fold_output, after)(features), after(module(features), layer.channel_dim))


@pytest.mark.parametrize(("kernel", "padding", "dilation"), [(3, 1, 1), (3, "same", 2), ((3, 5), (1, 2), 1)])
def test_with_an_offset_before_zero_padding_only_the_border_differs(kernel, padding, dilation):
    module = nn.Conv2d(4, 6, kernel, padding=padding, dilation=dilation, groups=2).double().requires_grad_(False)
    before, features = affine_map(2, 2, 0), normal(2, 4, 9, 10, seed=1)
    came, expected = refolded(module, fold_input, before)(features), module(before(features, 1))
    left, right, top, bottom = module._reversed_padding_repeated_twice
    inside = (..., slice(top, 9 - bottom), slice(left, 10 - right))
    assert_same(came[inside], expected[inside])
    assert (came - expected)[..., 0, :].abs().max() > 0.01


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_map_before_an_attention_is_the_folded_attention(batch_first):
    attention = nn.MultiheadAttention(8, 2, batch_first=batch_first).double().eval()
    before, features = affine_map(1, 8, 0), normal(3, 5, 8, seed=2)
    mapped = before(features)
    expected, _ = attention(mapped, mapped, mapped)
    came, _ = refolded(attention, fold_input, before)(features, features, features)
    assert_same(came, expected)


def test_only_a_layer_that_gets_an_offset_gets_a_bias():
    linear = nn.Linear(3, 2, bias=False).double()
    assert refolded(linear, fold_input, affine_map(1, 3, 0, offset=False)).state_dict().keys() == {"weight"}
    assert refolded(linear, fold_input, affine_map(1, 3, 0)).state_dict().keys() == {"weight", "bias"}


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 4), SEEDS)
def test_one_map_after_another_is_their_composition(groups, size, seed):
    first, second = affine_map(groups, size, seed), affine_map(groups, size, seed + 5)
    features = normal(2, groups * size, 3, 2, seed=seed)
    assert_same(second.after(first)(features, 1), second(first(features, 1), 1))


def test_a_map_acts_on_each_group_by_its_own_matrix():
    affine = affine_map(2, 3, 0)
    features = normal(5, 6, seed=1)
    expected = [features[:, 3 * g : 3 * g + 3] @ affine.matrix[g].T + affine.offset[g] for g in range(2)]
    assert_same(affine(features), torch.cat(expected, 1))


def test_the_identity_changes_nothing_and_keeps_the_dtype():
    features = torch.rand(2, 6, 3, dtype=torch.float16)
    assert torch.equal(AffineMap.identity(2, 3)(features, 1), features)
    assert AffineMap.identity(2, 3)(features, 1).dtype == torch.float16
