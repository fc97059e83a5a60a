"""Noises made of noises, and what an 8-bit file does."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.noise import Chain, ColorBias, EightBit, Gaussian, ImageNoise, OneOf, RandomLevels, Speckle
from noisewise.noise import functional as N

GREY = torch.full((1, 1, 1, 1), 0.5)


def offsets(noise: ImageNoise, count: int) -> torch.Tensor:
    return (noise(GREY.expand(count, -1, -1, -1), generator=make_generator(0)) - GREY).flatten()


def test_a_chain_applies_its_noises_in_order(images):
    generator = make_generator(3)
    by_hand = Speckle(0.3)(Gaussian(0.1)(images, generator=generator), generator=generator)
    assert torch.equal(Chain((Gaussian(0.1), Speckle(0.3)))(images, generator=make_generator(3)), by_hand)


def test_an_empty_chain_is_the_identity(images):
    assert torch.equal(Chain(())(images, generator=make_generator(0)), images)


def test_one_of_draws_by_weight():
    drawn = offsets(OneOf((EightBit(), Gaussian(0.0), ColorBias(100.0)), (1.0, 2.0, 5.0)), 2000).abs()
    same, rounded = drawn == 0, (drawn > 0) & (drawn < 0.5 / 255 + 1e-6)
    counts = [int(rounded.sum()), int(same.sum()), int((~same & ~rounded).sum())]
    assert stats.chisquare(counts, [250, 500, 1250]).pvalue > 1e-4


@pytest.mark.parametrize("weights", [(1, 0), (1.0, 0.0)])
def test_one_of_never_draws_what_has_no_weight(weights):
    assert (offsets(OneOf((Gaussian(0.0), Gaussian(1.0)), weights), 200) == 0).all()


@pytest.mark.parametrize(
    ("noises", "weights"), [((), ()), ((Gaussian(),), (1.0, 2.0)), ((Gaussian(),), (0.0,)), ((Gaussian(),), (-1.0,))]
)
def test_one_of_refuses_impossible_weights(noises, weights):
    with pytest.raises(ArgumentError, match="expected"):
        OneOf(noises, weights)


def test_random_levels_are_uniform_in_their_range():
    generator, noise = make_generator(0), RandomLevels(Gaussian(), {"sigma": (0.1, 0.4)})
    levels = [noise.draw(generator).sigma for _ in range(2000)]
    assert stats.kstest(levels, stats.uniform(0.1, 0.3).cdf).pvalue > 1e-4


def test_every_image_draws_its_own_levels():
    flat = torch.zeros(300, 1, 20, 20)
    noisy = RandomLevels(Gaussian(), {"sigma": (0.1, 0.4)})(flat, generator=make_generator(0))
    assert stats.kstest(noisy.std(dim=(1, 2, 3)).numpy(), stats.uniform(0.1, 0.3).cdf).statistic < 0.1


def test_scaled_random_levels_scale_what_they_draw():
    noise = RandomLevels(Gaussian(), {"sigma": (0.1, 0.4)})
    plain, scaled = noise.draw(make_generator(0)), noise.scaled(3).draw(make_generator(0))
    assert scaled.sigma == pytest.approx(3 * plain.sigma)


@pytest.mark.parametrize("ranges", [{"sigma": (0.2, 0.1)}, {"sigma": (-0.1, 0.1)}, {"level": (0.1, 0.2)}])
def test_random_levels_refuse_impossible_ranges(ranges):
    with pytest.raises(ArgumentError, match="expected"):
        RandomLevels(Gaussian(), ranges)


def test_eight_bits_are_the_nearest_of_256_values():
    x = torch.linspace(-0.5, 1.5, 5001)
    rounded = N.round_to_8_bits(x)
    values = torch.arange(256) / 255
    nearest = values[(x[:, None] - values).abs().argmin(dim=1)]
    tie = ((x * 255).frac() - 0.5).abs() < 1e-3
    assert torch.equal(rounded[~tie], nearest[~tie])


def test_saving_twice_with_eight_bits_is_saving_once(images):
    once = N.round_to_8_bits(images)
    assert torch.equal(N.round_to_8_bits(once), once)
