"""Which layers reach nothing but a rectifier, in networks of several libraries and in traps."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from noisewise._rng import initialised, make_generator
from noisewise.surgery import find_layers, find_rectifiers


def found(network, side=64):
    images = torch.rand(2, 3, side, side, generator=make_generator(0))
    return find_rectifiers(network.eval(), find_layers(network), images)


class Block(nn.Module):
    """A convolution and a normalisation, and then what ``way`` does with the outputs of both."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.convolution, self.normalisation = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images):
        return self.way(self.convolution(images), self.normalisation)


def shared(norm, output):
    normalised = norm(output)
    return normalised.relu() + normalised


WAYS = {
    "a rectifier": lambda y, norm: F.relu(y),
    "a rectifier that writes over it": lambda y, norm: torch.relu_(y) * 2,
    "a normalisation before one": lambda y, norm: norm(y).relu(),
    "a normalisation before one that writes over it": lambda y, norm: F.relu(norm(y), inplace=True) * 2,
    "its shape is asked for, too": lambda y, norm: F.relu(y).reshape(y.shape[0], -1, *y.shape[2:]),
}
OTHER_WAYS = {
    "nothing": lambda y, norm: y,
    "another activation": lambda y, norm: F.gelu(norm(y)),
    "a sum": lambda y, norm: F.relu(norm(y) + 1),
    "a rectifier and more": lambda y, norm: F.relu(y) + y,
    "a normalisation and more": lambda y, norm: norm(y).relu() + y,
    "more after the normalisation": lambda y, norm: shared(norm, y),
    "statistics of the batch": lambda y, norm: F.batch_norm(y, None, None, training=True).relu(),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_passes_is_what_it_says(way):
    network = initialised(lambda: Block(WAYS[way]), 0)
    norm = network.normalisation
    norm.running_mean.uniform_(-1, 1, generator=make_generator(1))
    norm.running_var.uniform_(0.5, 2, generator=make_generator(2))
    (rectifier,) = found(network).values()
    images = torch.rand(5, 3, 8, 8, generator=make_generator(3))
    with torch.no_grad():
        output = network.convolution(images)
        passed = (rectifier.scale[:, None, None] * output + rectifier.shift[:, None, None]).clamp_min(0)
        expected = norm(output).relu() if "normalisation" in way else output.relu()
    torch.testing.assert_close(passed, expected)
    assert rectifier.normalisation == ("normalisation" if "normalisation" in way else None)


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_whoever_else_reads_the_output_needs_all_of_it(way):
    assert not found(initialised(lambda: Block(OTHER_WAYS[way]), 0))


def test_tokens_are_normalised_over_their_places_and_not_over_features():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.norm = nn.Linear(64, 5), nn.BatchNorm1d(192)

        def forward(self, images):
            return self.norm(self.linear(images.flatten(1, 2))).relu()

    assert not found(Tokens())
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5), nn.BatchNorm1d(5), nn.ReLU())
    assert found(flat).keys() == {"1"}


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_the_last_convolution_of_a_residual_block_is_summed_and_the_others_are_not(library):
    if library == "timm":
        network, stem = initialised(lambda: timm.create_model("resnet18"), 0), "conv1"
    else:
        network, stem = initialised(lambda: models.resnet18(weights=None), 0), "conv1"
    inner = {f"layer{stage}.{block}.conv1" for stage in range(1, 5) for block in range(2)}
    assert found(network).keys() == {stem} | inner


def test_a_network_without_shortcuts_rectifies_all_but_its_head():
    network = initialised(lambda: models.vgg11(weights=None), 0)
    rectified = found(network)
    assert rectified.keys() == {layer.name for layer in find_layers(network)} - {"classifier.6"}
    assert all(torch.equal(one.scale, torch.ones_like(one.scale)) for one in rectified.values())


def test_a_normalisation_that_activates_by_itself_counts():
    network = initialised(lambda: timm.create_model("regnetx_002"), 0)
    assert "stem.conv" in found(network)
    assert found(network)["stem.conv"].normalisation == "stem.bn"


def test_the_network_is_left_alone():
    network = initialised(lambda: timm.create_model("resnet18"), 0).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
