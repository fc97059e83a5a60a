"""The small networks: what they take and give, what they cost, and that nothing in them is random."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from noisewise._rng import make_generator
from noisewise.models.preprocess import resolve_preprocess
from noisewise.models.small import small_resnet, small_segmenter, small_vit, strided_resnet

every_network = pytest.mark.parametrize("build", [small_resnet, strided_resnet, small_vit])


@every_network
def test_a_network_gives_as_many_outputs_as_it_is_asked_for(build):
    images = torch.rand(2, 3, 32, 32, generator=make_generator(0))
    assert build(outputs=7, side=32).eval()(images).shape == (2, 7)


@every_network
def test_the_size_of_the_training_is_known_to_its_preprocessing(build):
    assert resolve_preprocess(build(side=32)).size == (32, 32)


@pytest.mark.parametrize(
    ("build", "parameters", "mflops"), [(small_resnet, 0.31, 141), (strided_resnet, 0.71, 91), (small_vit, 0.70, 97)]
)
def test_a_network_costs_what_its_docstring_says(build, parameters, mflops):
    network = build().eval()
    assert sum(tensor.numel() for tensor in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.01)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 64, 64))
    assert counter.get_total_flops() / 1e6 == pytest.approx(mflops, abs=1)


@every_network
def test_nothing_in_training_is_random(build):
    network = build(side=32).train()
    images = torch.rand(2, 3, 32, 32, generator=make_generator(0))
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize(("build", "side"), [(small_resnet, 32), (strided_resnet, 16)])
def test_the_first_stage_of_a_resnet_works_at_the_resolution_that_it_is_named_for(build, side):
    network = build(side=32)
    seen = []
    network.layer1.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-2:]))
    network(torch.zeros(2, 3, 32, 32))
    assert seen == [(side, side)]


def test_the_segmenter_gives_logits_of_every_pixel():
    network = small_segmenter(5).eval()
    assert network(torch.rand(2, 3, 45, 60, generator=make_generator(0)))["out"].shape == (2, 5, 45, 60)
    assert sum(tensor.numel() for tensor in network.parameters()) / 1e6 == pytest.approx(0.75, abs=0.01)


def test_the_vit_is_the_same_with_the_fused_kernel():
    network = small_vit(side=32).eval()
    images = torch.rand(2, 3, 32, 32, generator=make_generator(0))
    plain = network(images)
    for block in network.blocks:
        block.attn.fused_attn = True
    torch.testing.assert_close(network(images), plain)
