"""The samplers against the distributions of scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from noisewise._rng import make_generator
from noisewise.noise import Gaussian, Poisson, Quantisation, SaltAndPepper, Speckle
from noisewise.noise import functional as N

COUNT = 20_000
IMPLAUSIBLE = 1e-4
LIKE = torch.zeros((), dtype=torch.float64)


def assert_follows(samples, distribution):
    assert stats.kstest(np.asarray(samples).ravel(), distribution.cdf).pvalue > IMPLAUSIBLE


def residual(noise, value):
    clean = torch.full((1, 1, 100, 200), value, dtype=torch.float64)
    return noise(clean, generator=make_generator(0)) - clean


@pytest.mark.parametrize("dof", [2.5, 5.0, 30.0])
def test_student_t(dof):
    samples = N.student_t((COUNT,), dof, LIKE, make_generator(0))
    assert_follows(samples, stats.t(dof, scale=((dof - 2) / dof) ** 0.5))


@pytest.mark.parametrize("lam", [-0.4, -0.1, 0.0, 0.14, 0.5, 1.0, 2.5])
def test_tukey_lambda(lam):
    samples = N.tukey_lambda((COUNT,), lam, LIKE, make_generator(0))
    assert_follows(samples, stats.tukeylambda(lam, scale=stats.tukeylambda.var(lam) ** -0.5))


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("gaussian", stats.norm),
        ("student_t", stats.t(5, scale=0.6**0.5)),
        ("tukey_lambda", stats.tukeylambda(-0.1, scale=stats.tukeylambda.var(-0.1) ** -0.5)),
    ],
)
def test_read_tails_follow_the_named_law_of_unit_variance(name, law):
    assert law.var() == pytest.approx(1)
    assert_follows(N.read_tails(name, (COUNT,), LIKE, make_generator(0)), law)


def test_single_precision_tails_are_finite():
    like = torch.zeros(())
    for name in ("student_t", "tukey_lambda"):
        assert N.read_tails(name, (1_000_000,), like, make_generator(0)).isfinite().all()


def test_gaussian():
    assert_follows(residual(Gaussian(0.1), 0.5), stats.norm(scale=0.1))


def test_speckle_is_proportional_to_the_image():
    assert_follows(residual(Speckle(0.2), 0.5), stats.norm(scale=0.1))


def test_quantisation_is_uniform_and_as_wide_as_a_step():
    assert_follows(residual(Quantisation(0.1), 0.5), stats.uniform(-0.05, 0.1))


@pytest.mark.parametrize("electrons", [0.7, 6, 40])
def test_poisson_counts_electrons(electrons):
    gain = 0.5 / electrons
    counts = ((residual(Poisson(gain), 0.5) + 0.5) / gain).numpy().ravel()
    assert counts == pytest.approx(counts.round())
    classes = np.arange(stats.poisson.ppf(0.005, electrons), stats.poisson.ppf(0.995, electrons) + 1)
    expected = len(counts) * np.append(stats.poisson.pmf(classes, electrons), 0)
    observed = np.append([(counts.round() == k).sum() for k in classes], 0)
    observed[-1], expected[-1] = len(counts) - observed.sum(), len(counts) - expected.sum()
    assert stats.chisquare(observed, expected).pvalue > IMPLAUSIBLE


def test_poisson_counts_no_light_below_black():
    dark = torch.full((1, 1, 4, 4), -0.5)
    assert (Poisson(0.01)(dark, generator=make_generator(0)) == 0).all()


def test_salt_and_pepper_are_equally_likely_and_leave_the_rest():
    noisy = residual(SaltAndPepper(0.3), 0.25) + 0.25
    counts = [int((noisy == value).sum()) for value in (0, 1, 0.25)]
    assert sum(counts) == COUNT
    assert stats.chisquare(counts, [0.15 * COUNT, 0.15 * COUNT, 0.7 * COUNT]).pvalue > IMPLAUSIBLE
