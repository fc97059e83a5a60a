"""What becomes of the outputs of layers, in networks of several libraries and in traps."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from noisewise._rng import initialised, make_generator
from noisewise.surgery import find_downstream, find_layers


def images(side=64):
    return torch.rand(2, 3, side, side, generator=make_generator(0))


def found(network):
    return find_downstream(network.eval(), find_layers(network), images())


class Block(nn.Module):
    """A convolution, of whose output ``way`` makes something with a normalisation, a shortcut and the images."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.shortcut, self.convolution = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(3)
        self.normalisation.running_mean.uniform_(-1, 1)
        self.normalisation.running_var.uniform_(0.5, 2)

    def forward(self, images):
        shortcut = self.shortcut(images)
        return self.way(self.convolution(images), self.normalisation, shortcut, images)


RECTIFIED = {
    "a rectifier": lambda y, norm, cut, x: F.relu(y),
    "one that writes over it": lambda y, norm, cut, x: torch.relu_(y),
    "a dropout before one": lambda y, norm, cut, x: F.dropout(y, 0.5, training=False).relu(),
    "a normalisation before one": lambda y, norm, cut, x: norm(y).relu(),
    "a normalisation before one that writes over it": lambda y, norm, cut, x: F.relu(norm(y), inplace=True),
    "its shape is asked for, too": lambda y, norm, cut, x: F.relu(y).reshape(y.shape),
    "a normalised sum before one": lambda y, norm, cut, x: F.relu(norm(y) + cut),
    "a sum that is written into it": lambda y, norm, cut, x: F.relu(norm(y).add_(cut), inplace=True),
    "a sum that is written into the shortcut": lambda y, norm, cut, x: F.relu(cut.add_(y)),
    "a sum with the images": lambda y, norm, cut, x: F.relu(torch.add(x, y)),
}
SUMMED = {
    "a sum": lambda y, norm, cut, x: y + cut,
    "a normalised sum": lambda y, norm, cut, x: cut + norm(y),
    "a sum with the images": lambda y, norm, cut, x: F.dropout(y, 0.5, training=False) + x,
}


def read_twice(y, norm, cut, x):
    normalised = norm(y)
    return normalised.relu() + normalised


def written_over(y, norm, cut, x):
    cut.relu_()
    return y + cut


def copied(y, norm, cut, x):
    kept = torch.zeros_like(y)
    kept[:] = y
    return F.relu(y) + kept


UNKNOWN = {
    "a shortcut that is rectified between": written_over,
    "copied besides": copied,
    "returned besides": lambda y, norm, cut, x: (F.relu(y), y),
    "a sum with one row for all images": lambda y, norm, cut, x: y + norm(cut[:1]),
    "nothing": lambda y, norm, cut, x: y,
    "another activation": lambda y, norm, cut, x: F.gelu(norm(y)),
    "a sum with a number": lambda y, norm, cut, x: F.relu(norm(y) + 1),
    "a sum with itself": lambda y, norm, cut, x: y + y,
    "a sum of other shapes": lambda y, norm, cut, x: y + cut.mean((2, 3), keepdim=True),
    "a difference": lambda y, norm, cut, x: F.relu(torch.add(cut, y, alpha=-1)),
    "a sum with what no module gave": lambda y, norm, cut, x: y + cut * 2,
    "a rectifier and more": lambda y, norm, cut, x: F.relu(y) + y,
    "a normalisation and more": lambda y, norm, cut, x: norm(y).relu() + y,
    "more after the normalisation": read_twice,
    "statistics of the batch": lambda y, norm, cut, x: F.batch_norm(y, None, None, training=True).relu(),
    "a dropout at work": lambda y, norm, cut, x: F.dropout(y, 0.5).relu(),
}


@pytest.mark.parametrize(("kind", "way"), [(RECTIFIED, way) for way in RECTIFIED] + [(SUMMED, way) for way in SUMMED])
@torch.no_grad()
def test_what_comes_of_it_is_what_it_says(kind, way):
    network, seen = initialised(lambda: Block(kind[way]), 0), {}
    downstream = found(network)["convolution"]
    assert downstream.is_rectified == (kind is RECTIFIED)
    if downstream.other is not None:
        module, is_output = downstream.other
        keep = module.register_forward_hook if is_output else module.register_forward_pre_hook
        keep(lambda module, inputs, *output: seen.update(other=(output or inputs)[0].clone()))
    network.convolution.register_forward_hook(lambda module, inputs, output: seen.update(y=output.clone()))
    came = network(images(8))
    z = downstream.scale[:, None, None] * seen["y"] + downstream.shift[:, None, None] + seen.get("other", 0)
    torch.testing.assert_close(z.relu() if downstream.is_rectified else z, came, check_dtype=False)


@pytest.mark.parametrize("way", UNKNOWN)
def test_whatever_else_reads_the_output_needs_all_of_it(way):
    assert "convolution" not in found(initialised(lambda: Block(UNKNOWN[way]), 0))


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


@pytest.mark.parametrize("build", [lambda: timm.create_model("resnet18"), lambda: models.resnet18(weights=None)])
def test_a_residual_block_rectifies_its_first_convolution_and_the_sum_with_its_last(build):
    downstream = found(initialised(build, 0))
    blocks = {f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)}
    strided = {"layer2.0", "layer3.0", "layer4.0"}
    last = {f"{block}.downsample.0" for block in strided} | {f"{block}.conv2" for block in blocks - strided}
    assert downstream.keys() == {"conv1"} | {f"{block}.conv1" for block in blocks} | last
    assert all(one.is_rectified for one in downstream.values())
    assert {name for name, one in downstream.items() if one.other is not None} == last


def test_both_ends_of_a_transformer_block_are_added_to_the_tokens():
    network = initialised(lambda: timm.create_model("vit_tiny_patch16_224", img_size=64), 0)
    downstream = found(network)
    assert downstream.keys() == {f"blocks.{block}.{end}" for block in range(12) for end in ("attn.proj", "mlp.fc2")}
    assert all(one.other is not None and not one.is_rectified for one in downstream.values())


def test_a_network_without_shortcuts_rectifies_all_but_its_head():
    network = initialised(lambda: models.vgg11(weights=None), 0)
    downstream = found(network)
    assert downstream.keys() == {layer.name for layer in find_layers(network)} - {"classifier.6"}
    assert all(torch.equal(one.scale, torch.ones_like(one.scale)) for one in downstream.values())


def test_a_normalisation_that_activates_by_itself_counts():
    stem = found(initialised(lambda: timm.create_model("regnetx_002"), 0))["stem.conv"]
    assert stem.is_rectified
    assert stem.normalisation == "stem.bn"


def test_the_network_is_left_alone():
    network = initialised(lambda: timm.create_model("resnet18"), 0).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
