"""Which layers are found and selected, and what is said of those that are not."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from noisewise.errors import SurgeryError
from noisewise.surgery import find_layers, replace_weights, select_layers


def reasons(model, *targets):
    layers = select_layers(model, *targets) if targets else find_layers(model)
    return {layer.name: layer.reason for layer in layers}


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2))


def test_all_layers_with_a_matrix_are_found_in_the_order_of_definition():
    assert reasons(net()) == {"0": "", "3": "", "4": ""}


def test_a_network_that_is_one_layer_has_an_empty_name():
    (layer,) = find_layers(nn.Linear(3, 2))
    assert (layer.name, layer.weight_name, layer.bias_name, layer.reason) == ("", "weight", "bias", "")


def tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def tied_biases():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].bias = model[0].bias
    return model


class Doubling(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def replaced_forward():
    model = nn.Linear(4, 4)
    model.forward = lambda x: x
    return model


def pruned():
    return prune.l1_unstructured(nn.Linear(4, 4), "weight", amount=0.5)


REFUSED = {
    "tied weights": (tied, "0", "shared with another module"),
    "tied biases": (tied_biases, "1", "shared with another module"),
    "parametrised": (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), "", "computed from others"),
    "weight norm": (lambda: weight_norm(nn.Linear(4, 4)), "", "computed from others"),
    "spectral norm": (lambda: spectral_norm(nn.Linear(4, 4)), "", "computed from others"),
    "pruned": (pruned, "", "computed from others"),
    "own forward": (lambda: Doubling(4, 4), "", "Doubling has a forward of its own"),
    "replaced forward": (replaced_forward, "", "forward was replaced"),
    "transposed": (lambda: nn.ConvTranspose2d(3, 3, 2), "", "ConvTranspose2d is none of"),
    "embedding": (lambda: nn.Embedding(3, 4), "", "Embedding is none of"),
    "lazy": (lambda: nn.LazyLinear(3), "", "it is lazy"),
    "scripted": (lambda: torch.jit.script(nn.Linear(4, 4)), "", "TorchScript"),
    "query, key, value apart": (lambda: nn.MultiheadAttention(4, 2, kdim=3), "", "have weights of their own"),
    "attention's output": (lambda: nn.MultiheadAttention(4, 2), "out_proj", "without calling it"),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("build", "name", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_layer_that_cannot_be_handled_says_why(build, name, reason):
    assert reason in reasons(build())[name]


def test_a_tied_weight_refuses_its_owners_and_nobody_else():
    assert [bool(reason) for reason in reasons(tied()).values()] == [True, False, True]


def test_the_packed_projection_of_an_attention_can_be_handled():
    assert reasons(nn.Sequential(nn.MultiheadAttention(4, 2)))["0"] == ""


@pytest.mark.parametrize(
    ("targets", "selected"),
    [
        ("auto", ["0", "3", "4"]),
        ("last", ["4"]),
        ("^[03]$", ["0", "3"]),
        (re.compile("3"), ["3"]),
        (["4", "0"], ["0", "4"]),
        (lambda name, module: isinstance(module, nn.Linear), ["3", "4"]),
    ],
    ids=["auto", "last", "text", "pattern", "names", "predicate"],
)
def test_targets(targets, selected):
    found = reasons(net(), targets)
    assert [name for name, reason in found.items() if not reason] == selected
    assert {reason for name, reason in found.items() if name not in selected} <= {"not among the targets"}


def test_the_last_is_the_last_that_can_be_handled():
    assert reasons(nn.Sequential(net(), Doubling(2, 2)), "last")["0.4"] == ""


def test_a_refused_target_keeps_its_reason():
    model = nn.Sequential(nn.Linear(4, 4), Doubling(4, 4))
    assert "forward of its own" in reasons(model, ["0", "1"])["1"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["0", "9"], "there is no layer called '9'; the first ones are 0, 3, 4"),
        ("head", "no layer of Sequential can be handled by targets='head'"),
        ("[", r"expected a regular expression of layer names, got '\['"),
        (lambda name, module: False, "not among the targets"),
    ],
    ids=["unknown name", "no match", "no pattern", "no layer"],
)
def test_targets_that_select_nothing_are_an_error(targets, message):
    with pytest.raises(SurgeryError, match=message):
        select_layers(net(), targets)


def test_a_network_without_matrices_is_an_error():
    with pytest.raises(SurgeryError, match="it has none"):
        select_layers(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3)))


def test_replacing_writes_in_place_and_returns_the_added_biases():
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    before = model[0].weight
    assert replace_weights(model, {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2)}) == ["0.bias"]
    assert model[0].weight is before
    assert torch.equal(model(torch.ones(1, 3)), torch.full((1, 2), 4.0))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"1.weight": torch.ones(2, 3)}, "Sequential has no parameter 1.weight"),
        ({"0.gain": torch.ones(2)}, "Sequential has no parameter 0.gain"),
        ({"0.weight": torch.ones(3, 2)}, r"expected 0.weight of shape \(3, 2\), found \(2, 3\)"),
    ],
)
def test_an_entry_that_fits_no_parameter_is_an_error(entries, message):
    with pytest.raises(SurgeryError, match=message):
        replace_weights(nn.Sequential(nn.Linear(3, 2)), entries)
