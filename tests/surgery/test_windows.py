"""Windows and vectors that the weights meet: times the weights they are the layer's output at those positions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import convolutions, features_of, linear_layers, normal, only_layer
from torch import nn

from noisewise._rng import make_generator
from noisewise.surgery.windows import gather_inputs, gather_outputs, positions_per_image

SEEDS = st.integers(0, 2**31)


def flat_outputs(layer, output, images):
    """All output vectors of each image, ``images x positions x features``."""
    vectors = output.movedim(layer.batch_dim, 0).movedim(layer.channel_dim, -1)
    return vectors.reshape(images, -1, vectors.shape[-1])


def assert_gathered(layer, features, output, images, seed):
    positions = positions_per_image(layer, output, images)
    expected = flat_outputs(layer, output, images)
    assert positions == expected.shape[1]
    chosen = torch.randint(positions, (images, 5), generator=make_generator(seed))
    rows = gather_inputs(layer, features, chosen)
    products = torch.einsum("goi,ngi->ngo", layer.kernel().flatten(2), rows) + layer.offset()
    picked = torch.stack([expected[image, place] for image, places in enumerate(chosen) for place in places])
    torch.testing.assert_close(products.flatten(1), picked, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gather_outputs(layer, output, chosen).flatten(1), picked, rtol=0, atol=0)


@settings(max_examples=30)
@given(convolutions() | linear_layers(), SEEDS)
def test_rows_times_the_weight_are_the_output(module, seed):
    layer = only_layer(module)
    features = features_of(layer, seed)
    assert_gathered(layer, features, module(features), images=2, seed=seed)


@settings(max_examples=30)
@given(convolutions() | linear_layers(), SEEDS)
def test_an_image_may_have_become_several_entries_of_the_batch(module, seed):
    layer = only_layer(module)
    features = features_of(layer, seed, images=6)
    assert_gathered(layer, features, module(features), images=2, seed=seed)


@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3), (4, 2, 5, 3)], ids=["vectors", "tokens", "map"])
def test_linear_layers_on_inputs_of_any_rank(shape):
    module, features = nn.Linear(3, 2).double().requires_grad_(False), normal(*shape, seed=0)
    assert_gathered(only_layer(module), features, module(features), images=2, seed=0)


@pytest.mark.parametrize("batch_first", [True, False])
def test_rows_of_an_attention_meet_its_packed_projection(batch_first):
    module = nn.MultiheadAttention(4, 2, batch_first=batch_first).double().requires_grad_(False)
    features = normal(3, 5, 4, seed=0)
    output = F.linear(features, module.in_proj_weight, module.in_proj_bias)
    assert_gathered(only_layer(module), features, output, images=3 if batch_first else 5, seed=0)
