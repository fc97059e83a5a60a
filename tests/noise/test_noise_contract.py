"""What every noise promises, tested for all that are registered and for noises made of noises."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from noisewise._rng import make_generator
from noisewise.contracts import Noise
from noisewise.errors import ArgumentError
from noisewise.noise import NOISES

SHAPES = [(1, 3, 1, 1), (1, 1, 1, 1), (2, 1, 5, 7), (1, 3, 1, 6), (2, 3, 4, 1)]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def corrupt(noise, images, seed=0):
    return noise(images, generator=make_generator(seed))


def test_fits_the_contract(noise):
    assert isinstance(noise, Noise)
    assert noise.mixes_samples is False


def test_leaves_its_input_alone(noise, images):
    before = images.clone()
    corrupt(noise, images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("view", [lambda x: x[:1, :, :1].expand(4, 3, 8, 9), lambda x: x.mT, lambda x: x[:, :, ::2]])
def test_a_view_gives_what_its_copy_gives_and_is_left_alone(noise, images, view):
    before = images.clone()
    noisy = corrupt(noise, view(images))
    assert torch.allclose(noisy, corrupt(noise, view(images).contiguous()), atol=1e-5)
    assert torch.equal(images, before)


def test_same_seed_same_result(noise, images):
    assert torch.equal(corrupt(noise, images, 1), corrupt(noise, images, 1))


def test_other_seed_other_result(random_noise, images):
    assert not torch.equal(corrupt(random_noise, images, 1), corrupt(random_noise, images, 2))


def test_neither_reads_nor_moves_the_global_random_state(noise, images):
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), corrupt(noise, images)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(corrupt(noise, images), first)


@pytest.mark.parametrize("dtype", DTYPES)
def test_level_zero_is_the_identity(noise, images, dtype):
    images = images.to(dtype) * 1.5 - 0.2  # beyond [0, 1] too
    assert torch.equal(corrupt(noise.scaled(0), images), images)


@pytest.mark.parametrize("level", [0, 1])
def test_writing_to_the_result_does_not_write_to_the_input(noise, images, level):
    before = images.clone()
    corrupt(noise.scaled(level), images).zero_()
    assert torch.equal(images, before)


def test_scaling_keeps_the_type_and_the_original(noise):
    before = copy.deepcopy(noise)
    assert type(noise.scaled(0.5)) is type(noise)
    assert noise == before


def test_scaling_by_one_changes_nothing(noise):
    assert noise.scaled(1) == noise


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_keeps_shape_and_dtype(noise, shape, dtype):
    clean = torch.rand(shape, generator=make_generator(0)).to(dtype)
    noisy = corrupt(noise, clean)
    assert noisy.shape == clean.shape
    assert noisy.dtype == dtype
    assert noisy.isfinite().all()


def test_half_precision_rounds_the_result_only(noise, images):
    images = images.half()
    assert torch.equal(corrupt(noise, images), corrupt(noise, images.float()).half())


def test_is_frozen(noise):
    for field in dataclasses.fields(noise):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(noise, field.name, getattr(noise, field.name))


def test_refuses_a_single_image_and_says_how_to_mend_it(noise):
    with pytest.raises(ArgumentError, match=r"B x C x H x W, got \(3, 4, 4\).*batch axis"):
        corrupt(noise, torch.zeros(3, 4, 4))


def test_refuses_integers_and_says_how_to_mend_it(noise):
    with pytest.raises(ArgumentError, match=r"floating.*uint8.*divide"):
        corrupt(noise, torch.zeros(1, 3, 4, 4, dtype=torch.uint8))


NUMERIC_FIELDS = [
    pytest.param(noise_type, field.name, id=f"{name}.{field.name}")
    for name, noise_type in NOISES.items()
    for field in dataclasses.fields(noise_type)
    if not isinstance(field.default, str)
]


@pytest.mark.parametrize("value", [-0.5, float("nan")])
@pytest.mark.parametrize(("noise_type", "field"), NUMERIC_FIELDS)
def test_refuses_negative_and_undefined_parameters(noise_type, field, value):
    with pytest.raises(ArgumentError, match="expected"):
        noise_type(**{field: value})
