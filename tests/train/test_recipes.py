"""Recipes and the learning rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.data.patches import PatchSampler
from noisewise.errors import ArgumentError
from noisewise.models import BlindDenoiser
from noisewise.noise import OneOf, parse_noise
from noisewise.train import NoisyPatches, Schedule, read_recipe


def test_a_recipe_says_what_its_file_says(recipe):
    assert recipe.model == {"widths": [8, 8], "blocks": [1, 1], "estimator_width": 8}
    assert recipe.schedule == Schedule(6, 4, 16, 2e-3, 2, 0.5, 0.9)
    pool = (parse_noise("gaussian:sigma=10..50"), parse_noise("poisson:gain=4+rows:sigma=5"))
    assert recipe.noise == OneOf(pool, (1.0, 1.0))
    assert (recipe.enlarged, recipe.grey, recipe.eight_bit) == (0.0, 0.25, 0.5)


def test_a_recipe_is_found_by_text_too(recipe_file, recipe):
    assert read_recipe(str(recipe_file)) == recipe


def test_the_shipped_recipe_builds_the_shipped_network_and_its_first_batch_is_finite(photographs):
    recipe = read_recipe("denoiser")
    shapes = {name: tensor.shape for name, tensor in BlindDenoiser(**recipe.model).state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in BlindDenoiser().state_dict().items()}
    batch = NoisyPatches(PatchSampler(photographs, recipe.schedule.patch), recipe, seed=0)[0]
    size = (recipe.schedule.batch, 3, recipe.schedule.patch, recipe.schedule.patch)
    assert (batch.clean.shape, batch.noisy.shape) == (size, size)
    assert all(part.isfinite().all() for part in batch)


def test_a_recipe_that_is_nowhere_is_refused():
    with pytest.raises(ArgumentError, match=r"shipped recipe or a \.toml file, got 'denoizer'; try 'denoiser'"):
        read_recipe("denoizer")


@pytest.mark.parametrize(
    ("line", "instead", "told"),
    [
        ("steps = 6", "", "steps"),
        ("steps = 6", "steps = 6\nspeed = 3", "speed"),
        ("[schedule]", "[timetable]", "schedule"),
        ("[model]", "[network]", "model"),
        ("grey = 0.25", "", "grey"),
        ("grey = 0.25", "grey = 25", "shares of patches in [0, 1]"),
        ("[patches]", "[crops]", "patches"),
        ("batch = 4", "batch = = 4", "tiny.toml"),
        ("gaussian", "gausian", "did you mean 'gaussian'"),
        ("sigma=10..50", "sigma=-10", "sigma >= 0"),
        ("sigma=10..50", "sigmoid=10", "did you mean 'sigma'"),
        ('[1.0, "poisson', '[-1.0, "poisson', "weights >= 0"),
    ],
)
def test_an_incomplete_recipe_is_refused_and_says_where(recipe_file, line, instead, told):
    text = recipe_file.read_text()
    assert line in text
    recipe_file.write_text(text.replace(line, instead))
    with pytest.raises(ArgumentError) as refusal:
        read_recipe(recipe_file)
    assert told in str(refusal.value)


def schedule(steps=100, warmup=10, decay=0.25):
    return Schedule(steps, batch=1, patch=8, learning_rate=2e-3, warmup=warmup, decay=decay, ema=0.9)


@pytest.mark.parametrize(
    ("step", "share"), [(0, 1 / 10), (4, 5 / 10), (9, 1), (50, 1), (75, 1), (80, 20 / 25), (99, 1 / 25), (100, 0)]
)
def test_the_learning_rate_rises_stays_and_falls(step, share):
    assert schedule().rate(step) == pytest.approx(2e-3 * share)


@given(st.integers(1, 500), st.integers(0, 100), st.floats(0, 1))
def test_the_learning_rate_has_one_hump_and_never_exceeds_its_peak(steps, warmup, decay):
    plan = schedule(steps, warmup, decay)
    rates = [plan.rate(step) for step in range(steps)]
    assert all(0 < rate <= plan.learning_rate for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_without_warmup_and_decay_the_rate_is_constant():
    assert {schedule(warmup=0, decay=0.0).rate(step) for step in range(100)} == {2e-3}
