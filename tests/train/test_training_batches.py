"""Batches as a pure function of seed and step, and the true level that they carry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from noisewise._rng import make_generator
from noisewise.noise import Gaussian
from noisewise.train import NoisyPatches
from noisewise.train.batches import local_level


def with_(data, **changes):
    return NoisyPatches(data.patches, replace(data.recipe, **changes), data.seed)


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_batch_depends_on_seed_and_step_alone(data):
    torch.manual_seed(0)
    in_order = [data[step] for step in range(3)]
    torch.manual_seed(1)
    assert all(same(data[step], in_order[step]) for step in (2, 0, 1))


def test_drawing_a_batch_leaves_the_global_random_state_alone(data):
    state = torch.get_rng_state()
    data[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_other_steps_and_other_seeds_give_other_batches(data):
    other_seed = NoisyPatches(data.patches, data.recipe, data.seed + 1)
    batches = [data[0], data[1], other_seed[0], other_seed[1]]
    assert len({batch.clean.numpy().tobytes() for batch in batches}) == 4
    assert len({(batch.noisy - batch.clean).numpy().tobytes() for batch in batches}) == 4


def test_there_is_a_batch_for_every_step(data):
    assert len(data) == data.recipe.schedule.steps


def test_a_batch_has_the_shapes_that_the_network_takes(data):
    batch = data[0]
    assert batch.clean.shape == batch.noisy.shape == (4, 3, 16, 16)
    assert batch.level.shape == (4, 1, 16, 16)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 1), (1.0, 4)])
def test_the_share_of_grey_patches_is_grey_with_the_same_noise_in_all_channels(data, share, expected):
    batch = with_(data, grey=share)[0]
    for part in (batch.clean, batch.noisy):
        grey = (part == part[:, :1]).flatten(1).all(dim=1)
        assert int(grey.sum()) == expected


def eight_bit(images):
    return ((images * 255 - (images * 255).round()).abs() < 1e-3).flatten(1).all(dim=1)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 30, 70), (1.0, 100, 100)])
def test_the_share_of_eight_bit_patches_is_clipped_and_rounded(data, share, least, most):
    saved = with_(data, eight_bit=share, noise=Gaussian(0.5))
    noisy = torch.cat([saved[step].noisy for step in range(25)])
    rounded = eight_bit(noisy)
    assert least <= int(rounded.sum()) <= most
    assert all(image.min() >= 0 and image.max() <= 1 for image in noisy[rounded])


def test_without_eight_bits_the_noise_is_the_recipes_noise(data):
    pure = with_(data, eight_bit=0.0, grey=0.0, noise=Gaussian(0.1))
    noise = torch.cat([pure[step].noisy - pure[step].clean for step in range(6)])
    assert noise.std() == pytest.approx(0.1, rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=0.005)


def test_the_level_is_that_of_the_noise_before_it_is_clipped(data):
    unclipped, clipped = with_(data, eight_bit=0.0), with_(data, eight_bit=1.0)
    assert torch.equal(unclipped[0].level, clipped[0].level)
    assert torch.allclose(unclipped[0].level, local_level(unclipped[0].noisy - unclipped[0].clean))


@pytest.mark.parametrize("window", [1, 3, 7])
def test_the_local_level_is_the_root_mean_square_of_the_window_inside_the_image(window):
    noise = torch.randn(2, 3, 6, 9, generator=make_generator(0))
    expected, reach = np.zeros((2, 1, 6, 9)), window // 2
    for b, _, y, x in np.ndindex(expected.shape):
        around = noise[b, :, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        expected[b, 0, y, x] = np.sqrt(np.mean(np.square(around.numpy())))
    assert local_level(noise, window).numpy() == pytest.approx(expected, rel=1e-4)
