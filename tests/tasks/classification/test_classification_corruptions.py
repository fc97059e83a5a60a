"""What the five severities of every registered noise promise; a new noise is tested without being listed."""

from __future__ import annotations

from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from noisewise._rng import make_generator
from noisewise.errors import UnknownNameError
from noisewise.noise import NOISES, Gaussian, Jpeg, SaltAndPepper, parse_noise
from noisewise.tasks.classification import corruptions, severities

VISIBLE = 10 / 255


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    """A shipped photograph as ``1 x 3 x 96 x 64``."""
    with (files("noisewise.demo") / "assets" / "lighthouse.png").open("rb") as file:
        pixels = np.array(Image.open(file).convert("RGB").resize((64, 96)))
    return torch.from_numpy(pixels).movedim(-1, 0)[None] / 255


def error(noise, image: Tensor) -> float:
    return (noise(image, generator=make_generator(0)) - image).square().mean().sqrt().item()


def test_every_registered_noise_has_five_severities():
    suite = corruptions()
    assert list(suite) == list(NOISES)
    assert {len(noises) for noises in suite.values()} == {5}


@pytest.mark.parametrize("name", NOISES)
def test_each_severity_is_worse_than_the_one_before_and_the_last_is_plain_to_see(name, photograph):
    errors = [error(noise, photograph) for noise in corruptions()[name]]
    assert all(milder < worse for milder, worse in pairwise(errors))
    assert errors[0] > 0.2 * VISIBLE
    assert errors[-1] > VISIBLE


def test_the_figures_that_the_literature_can_be_compared_with():
    suite = corruptions()
    sigmas = [255 * noise.sigma for noise in suite["gaussian"]]
    assert sigmas == pytest.approx([23, 34.5, 46, 69, 92])
    assert [noise.quality for noise in suite["jpeg"]] == [80, 70, 60, 40, 20]
    assert [1 / noise.gain for noise in suite["poisson"]] == pytest.approx([48.57, 21.59, 12.14, 5.4, 3.04], rel=1e-2)
    assert suite["salt_and_pepper"][2] == SaltAndPepper(0.09)


def test_a_noise_registered_later_is_covered_with_its_defaults():
    class Later(Gaussian):
        pass

    NOISES.register("later")(Later)
    try:
        assert corruptions()["later"][2] == Later()
    finally:
        NOISES._things.pop("later")


def test_some_can_be_chosen():
    assert list(corruptions(["jpeg", "gaussian"])) == ["jpeg", "gaussian"]
    with pytest.raises(UnknownNameError, match="gaussian"):
        corruptions(["gausian"])


@pytest.mark.parametrize("middle", [Jpeg(70), parse_noise("gaussian:sigma=10..30+rows")])
def test_the_middle_of_ones_own_noise_is_that_noise(middle):
    assert severities(middle)[2] == middle
    assert severities(middle)[0] == middle.scaled(0.5)
