"""The best linear denoiser: against least squares on samples, Monte Carlo, and the equations of DDPM written out."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.methods.denoiserep import SCHEDULES, Schedule
from noisewise.methods.denoiserep.closed_form import (
    NoisePredictor,
    best_predictor,
    denoising_map,
    expected_loss,
    reverse_step,
    wiener_map,
)
from noisewise.surgery import FeatureMoments

SEEDS = st.integers(0, 2**31)
LEVELS = st.floats(0.02, 0.98)
DDPM = SCHEDULES["ddpm"]


def normal(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=make_generator(seed))


def features(samples, groups, size, seed):
    """Correlated, off centre: ``N x G x D``."""
    mixing = normal(groups, size, size, seed=seed + 1)
    return torch.einsum("gij,ngj->ngi", mixing, normal(samples, groups, size, seed=seed)) + normal(
        groups, size, seed=seed + 2
    )


def balanced_noise(rows, seed):
    """Noise whose mean, covariance and products with ``rows`` are over these very samples what they are on average.

    Sums over the samples then are expectations over the noise, without any error of sampling.
    """
    noise = normal(*rows.shape, seed=seed)
    for group in range(rows.shape[1]):
        known = torch.cat([torch.ones(len(rows), 1, dtype=torch.float64), rows[:, group]], 1)
        free = noise[:, group] - known @ torch.linalg.lstsq(known, noise[:, group]).solution
        orthonormal, _ = torch.linalg.qr(free)
        noise[:, group] = orthonormal * len(rows) ** 0.5
    return noise


def least_squares(inputs, targets, *, offset):
    """``W`` and ``b`` of the best ``W x + b`` for one group, by a general solver."""
    extended = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=torch.float64)], 1) if offset else inputs
    solution = torch.linalg.lstsq(extended, targets).solution.T
    return (solution[:, :-1], solution[:, -1]) if offset else (solution, torch.zeros_like(solution[:, 0]))


def applied(affine, rows):
    return torch.einsum("gij,ngj->ngi", affine[0], rows) + affine[1]


def assert_close(came, expected, relative=1e-8):
    assert (came - expected).abs().max() <= relative * expected.abs().max().clamp_min(1)


@settings(max_examples=25)
@given(st.integers(1, 2), st.integers(1, 4), LEVELS, st.booleans(), SEEDS)
def test_the_best_predictor_is_least_squares_on_samples(groups, size, kept, offset, seed):
    rows = features(60, groups, size, seed)
    noise = balanced_noise(rows, seed + 7)
    noisy = kept**0.5 * rows + (1 - kept) ** 0.5 * noise
    predictor = best_predictor(FeatureMoments.of(rows), kept, offset=offset)
    for group in range(groups):
        weight, bias = least_squares(noisy[:, group], noise[:, group], offset=offset)
        assert_close(predictor.weight[group], weight)
        assert_close(predictor.bias[group], bias)


@settings(max_examples=25)
@given(st.integers(1, 2), st.integers(1, 4), LEVELS, SEEDS)
def test_the_expected_loss_is_the_mean_over_samples(groups, size, kept, seed):
    rows = features(60, groups, size, seed)
    noise = balanced_noise(rows, seed + 7)
    predictor = NoisePredictor(normal(groups, size, size, seed=seed + 3), normal(groups, size, seed=seed + 4))
    errors = applied(predictor, kept**0.5 * rows + (1 - kept) ** 0.5 * noise) - noise
    loss = expected_loss(predictor, FeatureMoments.of(rows), kept)
    assert loss == pytest.approx(errors.square().mean().item(), rel=1e-9)


def test_the_expected_loss_is_what_monte_carlo_estimates():
    rows, kept, draws = features(50, 1, 3, 0), 0.7, 4000
    predictor = NoisePredictor(normal(1, 3, 3, seed=3), normal(1, 3, seed=4))
    repeated = rows.repeat(draws, 1, 1)
    noise = normal(*repeated.shape, seed=5)
    errors = applied(predictor, kept**0.5 * repeated + (1 - kept) ** 0.5 * noise) - noise
    losses = errors.square().mean((1, 2)).reshape(draws, -1).mean(1)
    estimate, error = losses.mean(), losses.std() / draws**0.5
    assert abs(expected_loss(predictor, FeatureMoments.of(rows), kept) - estimate) <= 5 * error


@settings(max_examples=40)
@given(st.integers(1, 2), st.integers(1, 4), LEVELS, st.booleans(), st.floats(1e-3, 10), SEEDS)
def test_no_perturbation_lowers_the_loss_of_the_best_predictor(groups, size, kept, offset, scale, seed):
    moments = FeatureMoments.of(features(30, groups, size, seed))
    best = best_predictor(moments, kept, offset=offset)
    weight = best.weight + scale * normal(groups, size, size, seed=seed + 1)
    bias = best.bias + scale * normal(groups, size, seed=seed + 2) * offset
    assert expected_loss(NoisePredictor(weight, bias), moments, kept) > expected_loss(best, moments, kept) - 1e-12


def posterior_mean(noisy, noise, t, schedule):
    """Of ``q(x_{t-1} | x_t, x_0)`` at the ``x_0`` that ``noise`` implies: Ho et al. 2020, equations 7 and 15."""
    betas = torch.linspace(schedule.first, schedule.last, schedule.steps, dtype=torch.float64)
    products = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, 0)])
    beta, now, before = betas[t - 1], products[t], products[t - 1]
    start = (noisy - (1 - now).sqrt() * noise) / now.sqrt()
    return before.sqrt() * beta / (1 - now) * start + (1 - beta).sqrt() * (1 - before) / (1 - now) * noisy


@pytest.mark.parametrize("name", ["paper", "ddpm"])
@pytest.mark.parametrize("t", [1, 2, 300, 1000])
def test_a_reverse_step_is_the_mean_of_the_posterior(name, t):
    schedule, noisy = SCHEDULES[name], normal(9, 2, 3, seed=0)
    predictor = NoisePredictor(normal(2, 3, 3, seed=1), normal(2, 3, seed=2))
    expected = posterior_mean(noisy, applied(predictor, noisy), t, schedule)
    assert_close(applied(reverse_step(predictor, schedule, t), noisy), expected, 1e-10)


@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_several_steps_are_one_after_the_other_each_at_its_own_t(steps, offset):
    rows = features(40, 2, 3, 0)
    moments, state = FeatureMoments.of(rows), rows
    for t in range(300, 300 - steps, -1):
        predictor = best_predictor(moments, DDPM.alpha_bar(t), offset=offset)
        state = posterior_mean(state, applied(predictor, state), t, DDPM)
    assert_close(applied(denoising_map(moments, DDPM, 300, steps, offset=offset), rows), state, 1e-10)


def test_the_printed_equation_7_lacks_the_rescaling_and_the_offset():
    moments = FeatureMoments.of(features(40, 1, 3, 0))
    matrix, offset = denoising_map(moments, DDPM, 300, 1, paper_eq7=True)
    alpha, alpha_bar = DDPM.alpha(300), DDPM.alpha_bar(300)
    factor = (1 - alpha) / (math.sqrt(alpha) * math.sqrt(1 - alpha_bar))
    weight = best_predictor(moments, alpha_bar).weight
    assert_close(matrix, torch.eye(3, dtype=torch.float64) - factor * weight, 1e-14)
    assert not offset.any()


@settings(max_examples=25)
@given(st.integers(1, 2), st.integers(1, 4), st.floats(1e-2, 10), st.booleans(), SEEDS)
def test_the_wiener_map_is_least_squares_on_samples(groups, size, variance, offset, seed):
    rows = features(60, groups, size, seed)
    noisy = rows + variance**0.5 * balanced_noise(rows, seed + 7)
    affine = wiener_map(FeatureMoments.of(rows), variance, offset=offset)
    for group in range(groups):
        matrix, shift = least_squares(noisy[:, group], rows[:, group], offset=offset)
        assert_close(affine.matrix[group], matrix)
        assert_close(affine.offset[group], shift)


@pytest.mark.parametrize("name", ["paper", "ddpm"])
def test_a_schedule_is_the_running_product_of_its_alphas(name):
    schedule, product = SCHEDULES[name], 1.0
    assert schedule.alpha_bar(0) == 1
    for t in range(1, 1001):
        alpha = 1 - (schedule.first + (schedule.last - schedule.first) * (t - 1) / 999)
        product *= alpha
        assert schedule.alpha(t) == pytest.approx(alpha, rel=1e-12)
        assert schedule.alpha_bar(t) == pytest.approx(product, rel=1e-11)


def test_ddpm_ends_where_it_was_published_to_end():
    assert (DDPM.first, DDPM.last, DDPM.steps) == (1e-4, 2e-2, 1000)
    assert DDPM.alpha_bar(1000) == pytest.approx(4.04e-5, rel=1e-2)


def test_the_paper_s_code_has_a_tenth_of_the_last_variance():
    assert (SCHEDULES["paper"].first, SCHEDULES["paper"].last) == (1e-4, 2e-3)


@pytest.mark.parametrize("t", [-1, 11])
def test_a_step_outside_the_schedule_is_an_error(t):
    with pytest.raises(ArgumentError, match=f"expected a step t from 1 to 10, got {t}"):
        Schedule(1e-4, 1e-2, steps=10).alpha_bar(t)
