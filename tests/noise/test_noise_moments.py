"""The laws of the noises: first two moments against their closed form, samples independent of each other."""

from __future__ import annotations

import pytest
import torch

from noisewise._rng import make_generator
from noisewise.noise import Camera, Correlated, Jpeg, SaltAndPepper, ShotRead

STANDARD_ERRORS = 5
ROUNDING = 1e-9


def draw(noise, image, count, seed=0):
    return noise(image.expand(count, -1, -1, -1), generator=make_generator(seed))


def mean_and_error(samples):
    return samples.mean(0), samples.std(0) / len(samples) ** 0.5


def variance_and_error(samples):
    """Of each pixel over the batch; ``Var(s^2) = (mu_4 - sigma^4) / n``."""
    deviations = samples - samples.mean(0)
    variance = deviations.square().mean(0)
    error = ((deviations**4).mean(0) - variance**2).clamp_min(0).sqrt() / len(samples) ** 0.5
    return variance, error


def assert_close(estimate, truth, error):
    assert ((estimate - truth).abs() <= STANDARD_ERRORS * error + ROUNDING).all()


def assert_moments(noise):
    clean = torch.rand(1, 3, 3, 4, generator=make_generator(1), dtype=torch.float64)
    clean[..., 0, 0], clean[..., 0, 1] = 0, 1
    samples = draw(noise, clean, 4000)
    expected = noise.moments(clean)
    mean, error = mean_and_error(samples)
    assert_close(mean, expected.mean[0], error)
    variance, error = variance_and_error(samples)
    assert_close(variance, expected.variance[0], error)


def test_moments(noise_with_moments):
    assert_moments(noise_with_moments)


def test_moments_of_a_scaled_noise(noise_with_moments):
    assert_moments(noise_with_moments.scaled(0.6))


@pytest.mark.parametrize("tails", ["student_t", "tukey_lambda"])
def test_moments_with_heavy_tails(tails):
    assert_moments(ShotRead(sigma=0.1, tails=tails))


def test_moments_do_not_depend_on_the_blur():
    assert_moments(Correlated(blur=2.0))


def test_twice_the_level_is_twice_the_standard_deviation(noise_with_deviation, images):
    once, twice = noise_with_deviation.moments(images), noise_with_deviation.scaled(2).moments(images)
    assert torch.allclose(twice.variance.sqrt(), 2 * once.variance.sqrt())
    assert torch.equal(twice.mean, once.mean)


def test_twice_the_level_of_salt_and_pepper_is_twice_its_probability():
    assert SaltAndPepper(0.2).scaled(2) == SaltAndPepper(0.4)
    assert SaltAndPepper(0.6).scaled(2) == SaltAndPepper(1.0)


def test_the_level_of_a_jpeg_is_what_it_lacks_of_quality_100():
    assert Jpeg(80).scaled(2) == Jpeg(60)
    assert Jpeg(40).scaled(2) == Jpeg(1)


def test_twice_the_level_of_a_camera_is_twice_its_faint_noise():
    grey = torch.full((1, 3, 16, 16), 0.5, dtype=torch.float64)
    faint = Camera(gain=1e-6, sigma=1e-3)
    ratio = (draw(faint.scaled(2), grey, 100) - grey).std() / (draw(faint, grey, 100) - grey).std()
    assert ratio == pytest.approx(2, rel=0.02)


def test_the_batch_mates_do_not_matter(noise):
    image = torch.rand(1, 3, 3, 4, generator=make_generator(1), dtype=torch.float64)
    results = []
    for seed, mates in enumerate((torch.zeros_like(image), torch.ones_like(image))):
        batch = torch.cat([image, mates]).repeat(200, 1, 1, 1)
        results.append(noise(batch, generator=make_generator(seed))[::2])
    for statistic in (mean_and_error, variance_and_error):
        (first, first_error), (second, second_error) = map(statistic, results)
        assert_close(first, second, torch.hypot(first_error, second_error))


def test_every_sample_is_drawn_independently(random_noise):
    image = torch.rand(1, 3, 3, 4, generator=make_generator(1), dtype=torch.float64)
    samples = draw(random_noise, image, 400)
    varying = samples.std(0) > ROUNDING
    assert varying.any()
    standardised = ((samples - samples.mean(0)) / samples.std(0))[:, varying]
    correlation = (standardised[1:] * standardised[:-1]).mean(0)
    assert correlation.abs().max() < STANDARD_ERRORS / 400**0.5
