"""Every recipe in recipes/ is read, trains, and gives a file that a learner can start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError, WeightsError
from noisewise.methods.nvt import load_pretrained, read_pretraining_recipe, thesis_noise
from noisewise.methods.single_image import Budget, Self2Self, fit_image
from noisewise.models import load_denoiser

FOLDER = Path(__file__).parents[3] / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("photographs") / "astronaut.png"
    Image.fromarray(data.astronaut()[:128, 160:288]).save(path)
    return path


def small(path):
    """The recipe with a network, patches and steps for a test."""
    recipe = read_pretraining_recipe(path)
    schedule = replace(recipe.schedule, steps=1, batch=2, patch=32)
    return replace(recipe, widths=(8, 8), schedule=schedule)


@pytest.fixture
def saved(photograph, tmp_path):
    recipe = small(FOLDER / "nrl_mio_pfic.toml")
    network = recipe.train(recipe.views([photograph], 0), tmp_path / "checkpoint")
    recipe.save(network, tmp_path / "start.safetensors", {})
    return tmp_path / "start.safetensors"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_and_its_file_gives_the_network_back(path, photograph, tmp_path):
    recipe = small(path)
    network = recipe.train(recipe.views([photograph], 0), tmp_path / "checkpoint")
    recipe.save(network, tmp_path / "start.safetensors", {})
    again = load_pretrained(tmp_path / "start.safetensors")
    noisy = torch.rand(1, 3, 32, 32, generator=make_generator(0))
    torch.testing.assert_close(again(noisy), network(noisy), rtol=1e-2, atol=1e-2)  # kept in half precision


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_head_of_a_recipe_names_it_and_its_source_time_and_score(path):
    head = path.read_text()
    assert f"--recipe recipes/{path.name} " in head
    assert all(f"# {line}" in head for line in ("Source: ", "Command:", "Time: ", "Expected:"))


def test_without_a_pool_the_noise_is_that_of_the_thesis():
    assert read_pretraining_recipe(FOLDER / "noise_both.toml").noise == thesis_noise()


def test_a_learner_starts_from_the_file(saved):
    noisy = torch.rand(1, 3, 20, 24, generator=make_generator(0))
    started, plain = (
        fit_image(Self2Self(), noisy, network=network, budget=Budget(0)).image
        for network in (load_pretrained(saved), None)
    )
    assert started.shape == noisy.shape
    assert not torch.equal(started, plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[modules]", "[extra]\nx = 1\n[modules]"), "extra"),
        (('joining = "add"', 'joining = "ad"'), "expected joining"),
        (('joining = "add"', 'joning = "add"'), "no entry 'joning'"),
        (("[network]", "[net]"), "expected network, modules, schedule"),
        (("batch = 8", ""), "does not fit"),
        (("gaussian", "gausian"), "gaussian"),
        (("pool = [", "pol = ["), "noise.pol"),
        (("[noise]", "[noise]\nmixup = 0.5"), "noise.mixup"),
        (("[noise]", "[views]\nmixup = 'half'\n[noise]"), "share of patches to mix"),
        (("patch = 64", "patch = 30"), "a multiple of 4"),
        (("[32, 48, 64]", "[]"), "at least one level"),
        (("[32, 48, 64]", "['a']"), "those in recipes/"),
    ],
)
def test_a_bad_recipe_is_told_before_the_training(change, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "nrl_add.toml").read_text().replace(*change))
    with pytest.raises(ArgumentError, match=message):
        read_pretraining_recipe(path)


def test_the_two_kinds_of_weights_are_not_taken_for_each_other(saved, tmp_path):
    with pytest.raises(WeightsError, match="try --method self2self"):
        load_denoiser(saved)
    with pytest.raises(WeightsError, match="no file"):
        load_pretrained(tmp_path / "nowhere.safetensors")
