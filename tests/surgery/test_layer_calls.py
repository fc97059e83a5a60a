"""What is found out about a network by sending two images through it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from noisewise.errors import SurgeryError
from noisewise.surgery import find_layers, trace_calls


def traced(forward, **modules):
    """Calls in a network of ``modules`` whose forward pass is ``forward(self, x)``."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for name, module in modules.items():
                self.add_module(name, module)

    Net.forward = forward
    model = Net().eval()
    layers = [layer for layer in find_layers(model) if not layer.reason]
    first, second = torch.rand(2, 1, 4, 6).unbind()
    return trace_calls(model, layers, first[None], second[None])


def linear():
    return nn.Linear(6, 6)


def attention(batch_first=True):
    return nn.MultiheadAttention(6, 2, batch_first=batch_first)


def squeezed(x):
    """Images ``B x 1 x 4 x 6`` as tokens ``B x 4 x 6``."""
    return x.squeeze(1)


def test_order_and_count_are_those_of_the_calls():
    calls = traced(lambda self, x: self.b(self.a(self.b(x))), a=linear(), b=linear(), never=linear())
    assert {name: (call.order, call.count) for name, call in calls.items()} == {"b": (0, 2), "a": (1, 1)}


def test_samples_in_the_first_dimension_are_apart_also_as_windows_of_an_image():
    calls = traced(lambda self, x: self.b(self.a(x).reshape(-1, 2, 6)), a=linear(), b=linear())
    assert all(call.samples_apart and call.image_dependent for call in calls.values())


@pytest.mark.parametrize(
    "mix",
    [lambda x: x.transpose(0, 1), lambda x: x + x.flip(0), lambda x: x.mean(0, keepdim=True).expand_as(x)],
    ids=["sequence first", "batch mates added", "averaged"],
)
def test_samples_that_mix_are_found_out(mix):
    calls = traced(lambda self, x: self.a(mix(squeezed(x) * torch.arange(1, 5)[:, None])), a=linear())
    assert not (calls["a"].samples_apart and calls["a"].image_dependent)


def test_an_input_that_does_not_depend_on_the_images():
    calls = traced(lambda self, x: self.a(x) + self.b(torch.ones(4, 6)), a=linear(), b=linear())
    assert (calls["a"].image_dependent, calls["b"].image_dependent) == (True, False)


@pytest.mark.parametrize("batch_first", [True, False])
def test_an_attention_to_itself_in_either_layout(batch_first):
    def forward(self, x):
        tokens = squeezed(x) if batch_first else squeezed(x).transpose(0, 1)
        return self.a(tokens, tokens, tokens, need_weights=False)

    call = traced(forward, a=attention(batch_first))["a"]
    assert call.same_inputs
    assert call.samples_apart


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.a(squeezed(x), squeezed(x) + 1, squeezed(x)),
        lambda self, x: self.a(squeezed(x), key=squeezed(x), value=squeezed(x)),
        lambda self, x: self.a(*[squeezed(x)] * 3, key_padding_mask=torch.zeros(len(x), 4, dtype=torch.bool)),
        lambda self, x: self.a(*[squeezed(x)] * 3, attn_mask=torch.zeros(2 * len(x), 4, 4)),
    ],
    ids=["other key", "by keyword", "padding mask", "mask for each sample"],
)
def test_an_attention_that_cannot_be_split_by_samples(forward):
    assert not traced(forward, a=attention())["a"].same_inputs


def test_a_mask_for_all_samples_is_no_obstacle():
    call = traced(lambda self, x: self.a(*[squeezed(x)] * 3, attn_mask=torch.zeros(4, 4)), a=attention())["a"]
    assert call.same_inputs


def test_a_call_by_keyword_is_noted():
    calls = traced(lambda self, x: self.b(self.a(input=x)), a=linear(), b=linear())
    assert not calls["a"].positional
    assert calls["b"].positional


def test_values_that_are_not_finite_are_an_error_that_names_the_layer():
    with pytest.raises(SurgeryError, match="what layer b sees is not finite"):
        traced(lambda self, x: self.b(self.a(x).sub(1e6).sqrt()), a=linear(), b=linear())
