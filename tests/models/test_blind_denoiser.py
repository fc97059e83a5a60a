"""The blind denoiser: its size, the images it takes, the maps it estimates and is told."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from noisewise._rng import make_generator
from noisewise.models import BlindDenoiser, NoiseMapEstimator, NoiseMapUNet

SMALL = {"widths": (8, 12), "blocks": (1, 1), "estimator_width": 8}


def random_images(*shape):
    return torch.rand(*shape, generator=make_generator(0))


def trained(model):
    """Random weights instead of the zeros of the start, so that the network does something."""
    generator = make_generator(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1, generator=generator)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model() -> BlindDenoiser:
    return trained(BlindDenoiser(**SMALL))


def test_the_default_network_has_at_most_two_and_a_half_million_parameters():
    assert sum(parameter.numel() for parameter in BlindDenoiser().parameters()) <= 2_500_000


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 2))
@settings(max_examples=30)
def test_takes_images_of_any_size(model, height, width, batch):
    image, noise_map = model(random_images(batch, 3, height, width))
    assert image.shape == (batch, 3, height, width)
    assert noise_map.shape == (batch, 1, height, width)
    assert image.isfinite().all()


@given(st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=20)
def test_a_new_network_changes_nothing(height, width):
    noisy = random_images(1, 3, height, width) * 2 - 0.5
    assert torch.equal(BlindDenoiser(**SMALL)(noisy).image, noisy)


def test_a_trained_network_changes_something(model):
    noisy = random_images(1, 3, 16, 16)
    assert not torch.allclose(model(noisy).image, noisy, atol=1e-3)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1, 1), (2, 1, 1, 1), (1, 1, 20, 13)])
def test_a_constant_map_is_told_in_any_shape_that_broadcasts(model, shape):
    noisy = random_images(2, 3, 20, 13)
    told = model(noisy, torch.full(shape, 0.1))
    assert torch.equal(told.image, model(noisy, torch.full((2, 1, 20, 13), 0.1)).image)
    assert torch.equal(told.noise_map, torch.full((2, 1, 20, 13), 0.1))


def test_the_told_map_matters_where_it_differs(model):
    noisy = random_images(1, 3, 64, 64)
    noise_map = torch.full((1, 1, 64, 64), 0.1)
    noise_map[..., :8, :8] = 0.5
    change = (model(noisy, noise_map).image - model(noisy, torch.tensor(0.1)).image).abs()
    assert change[..., :8, :8].max() > 1e-3
    assert change[..., 48:, 48:].max() == 0


@given(st.integers(1, 40), st.integers(1, 40), st.floats(-3, 3))
@settings(max_examples=20)
def test_the_estimated_map_is_never_negative(model, height, width, offset):
    assert (model.estimate_noise_map(random_images(1, 3, height, width) + offset) >= 0).all()


def test_the_estimated_map_is_the_one_that_denoising_uses(model):
    noisy = random_images(2, 3, 21, 34)
    estimate, blind = model.estimate_noise_map(noisy), model(noisy)
    assert torch.equal(blind.noise_map, estimate)


def test_on_whole_strides_telling_the_estimate_changes_nothing(model):
    noisy = random_images(2, 3, 16, 32)
    assert torch.equal(model(noisy, model.estimate_noise_map(noisy)).image, model(noisy).image)


@pytest.mark.parametrize("size", [(16, 24), (13, 21)])
def test_restoring_an_image_and_the_turned_one_is_the_same_restoration(model, size):
    noisy = torch.rand(1, 3, *size, generator=make_generator(0))
    told = torch.tensor(0.1)
    both = model.restore(noisy, told)
    if size == (16, 24):  # on whole strides nothing is padded
        views = model(noisy, told).image, model(noisy.flip((-2, -1)), told).image.flip((-2, -1))
        torch.testing.assert_close(both, sum(views) / 2)
        torch.testing.assert_close(model.restore(noisy.flip((-2, -1)), told).flip((-2, -1)), both)
    assert both.shape == noisy.shape
    assert not torch.allclose(both, model(noisy, told).image, atol=1e-5)


def test_the_samples_of_a_batch_do_not_meet(model):
    noisy = random_images(3, 3, 17, 19)
    alone = torch.cat([model(image).image for image in noisy.split(1)])
    assert torch.allclose(model(noisy).image, alone, atol=1e-5)


def test_the_input_is_left_alone(model):
    noisy = random_images(1, 3, 17, 19)
    before = noisy.clone()
    model(noisy)
    assert torch.equal(noisy, before)


@pytest.mark.parametrize(("widths", "blocks"), [((8,), (1,)), ((8, 8, 8, 8), (1, 0, 1, 2))])
def test_deeper_and_shallower_networks_take_any_size_too(widths, blocks):
    model = trained(BlindDenoiser(widths, blocks, 8))
    assert model(random_images(1, 3, 9, 33)).image.shape == (1, 3, 9, 33)


def test_every_parameter_learns():
    model = BlindDenoiser(**SMALL)
    nn.init.ones_(model.unet.tail.weight)  # the zeros of the start let nothing through to the layers before
    model(random_images(1, 3, 16, 16)).image.square().sum().backward()
    silent = [name for name, parameter in model.named_parameters() if not parameter.grad.any()]
    assert silent == []


def test_the_parts_work_alone_on_whole_strides():
    noisy = random_images(1, 3, 16, 16)
    noise_map = NoiseMapEstimator(8)(noisy)
    assert noise_map.shape == (1, 1, 16, 16)
    assert NoiseMapUNet((8, 8), (1, 1))(noisy, noise_map).shape == noisy.shape
