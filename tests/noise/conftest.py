"""Every registered noise, and noises made of noises, for tests of what they all promise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from noisewise._rng import make_generator
from noisewise.noise import (
    NOISES,
    Camera,
    Chain,
    ColorBias,
    Gaussian,
    ImageNoise,
    Jpeg,
    OneOf,
    Poisson,
    RandomLevels,
    SaltAndPepper,
    parse_noise,
)

REGISTERED = {name: noise_type() for name, noise_type in NOISES.items()}
COMPOSED = {
    "chain": Chain((Poisson(), Gaussian())),
    "one of": OneOf((Gaussian(), SaltAndPepper()), (1, 3)),
    "random levels": RandomLevels(Gaussian(), {"sigma": (0.1, 0.2)}),
    "parsed with ranges": parse_noise("correlated:sigma=10..30,blur=0.5..1+rows:sigma=5"),
    "nested": OneOf((Chain((ColorBias(), Jpeg())), RandomLevels(Camera(), {"gain": (0.001, 0.002)}))),
}
DETERMINISTIC = ("eight_bit", "jpeg")
LEVEL_IS_A_PROBABILITY = ("salt_and_pepper",)


def named(noises: dict[str, ImageNoise], but: tuple[str, ...] = ()) -> list[object]:
    return [pytest.param(noise, id=name) for name, noise in noises.items() if name not in but]


WITH_MOMENTS = {name: noise for name, noise in REGISTERED.items() if hasattr(noise, "moments")}


@pytest.fixture(params=named(REGISTERED | COMPOSED))
def noise(request: pytest.FixtureRequest) -> ImageNoise:
    return request.param


@pytest.fixture(params=named(REGISTERED | COMPOSED, but=DETERMINISTIC))
def random_noise(request: pytest.FixtureRequest) -> ImageNoise:
    return request.param


@pytest.fixture(params=named(WITH_MOMENTS))
def noise_with_moments(request: pytest.FixtureRequest) -> ImageNoise:
    return request.param


@pytest.fixture(params=named(WITH_MOMENTS, but=LEVEL_IS_A_PROBABILITY))
def noise_with_deviation(request: pytest.FixtureRequest) -> ImageNoise:
    return request.param


@pytest.fixture
def images() -> Tensor:
    """Four small colour images, ``4 x 3 x 8 x 9``."""
    return torch.rand(4, 3, 8, 9, generator=make_generator(0))
