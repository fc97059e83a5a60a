"""Mutual information against closed forms of Gaussian variables, scipy's entropies and scikit-learn's estimators."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy, multivariate_normal
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError, UnknownNameError
from noisewise.measure.information import (
    PAPER_MI,
    class_information,
    critic_information,
    gaussian_information,
    info_nce,
    jensen_shannon,
    neighbour_information,
    paper_mi_gaussian,
    paper_mi_linear,
    paper_mi_optimal,
    paper_mi_salt_and_pepper,
    task_entropy,
)

ESTIMATORS = [gaussian_information, neighbour_information, critic_information]


def pairs(correlation, count=3000, features=1, seed=0):
    """x and y, each of independent standard normal features that correlate one by one."""
    x, noise = torch.randn(2, count, features, generator=make_generator(seed), dtype=torch.float64)
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def truth(correlation, features=1):
    return -features * math.log(1 - correlation**2) / 2


@pytest.mark.parametrize("estimate", ESTIMATORS)
@pytest.mark.parametrize(("correlation", "features"), [(0.0, 1), (0.5, 1), (0.9, 1), (0.7, 2)])
def test_estimates_of_gaussian_variables(estimate, correlation, features):
    assert estimate(*pairs(correlation, features=features)) == pytest.approx(truth(correlation, features), abs=0.1)


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_estimates_do_not_depend_on_units(estimate):
    x, y = pairs(0.8)
    assert estimate(1000 * x + 5, 0.001 * y) == pytest.approx(estimate(x, y), abs=1e-3)


@pytest.mark.parametrize("estimate", [neighbour_information, critic_information])
def test_dependence_without_correlation_is_seen_but_by_the_gaussian(estimate):
    x, noise = pairs(0.0)
    y = x.abs() + 0.2 * noise
    assert estimate(x, y) > 0.7
    assert gaussian_information(x, y) < 0.01


def test_the_gaussian_estimate_does_not_depend_on_the_basis():
    x, y = pairs(0.6, features=3)
    mixed = x @ torch.randn(3, 3, generator=make_generator(1), dtype=torch.float64)
    assert gaussian_information(mixed, y, shrinkage=0.0) == pytest.approx(gaussian_information(x, y, shrinkage=0.0))


def test_shrinkage_keeps_few_samples_of_many_features_from_exploding():
    x, y = pairs(0.0, count=40, features=30)
    with pytest.raises(ArgumentError, match="singular"):
        gaussian_information(x, y, shrinkage=0.0)
    assert gaussian_information(x, y) < 1
    assert gaussian_information(x, y, shrinkage=1.0) == 0


def test_neighbour_estimates_are_those_of_scikit_learn():
    x, y = pairs(0.7, count=500)
    expected = mutual_info_regression(x.numpy(), y.numpy().ravel(), n_neighbors=3, random_state=0)[0]
    assert neighbour_information(x, y) == pytest.approx(expected, abs=0.02)
    labels = (y[:, 0] > 0).long() + (y[:, 0] > 1).long()
    expected = mutual_info_classif(x.numpy(), labels.numpy(), n_neighbors=3, random_state=0)[0]
    assert class_information(x, labels) == pytest.approx(expected, abs=0.02)


def test_information_about_a_class_that_is_plain_is_its_entropy():
    labels = torch.arange(4).repeat(200)
    x = 100 * labels[:, None].double() + torch.randn(800, 1, generator=make_generator(0), dtype=torch.float64)
    assert class_information(x, labels) == pytest.approx(math.log(4), abs=0.02)
    alone = torch.cat([labels, torch.tensor([9])])
    assert class_information(torch.cat([x, x[:1]]), alone) == pytest.approx(math.log(4), abs=0.02)


def test_noise_on_the_features_lowers_what_they_tell():
    x, y = pairs(0.9)
    noisy = x + 2 * torch.randn(x.shape, generator=make_generator(5), dtype=x.dtype)
    for estimate in ESTIMATORS:
        assert estimate(noisy, y) < estimate(x, y) - 0.4


def density_ratio(x, y, correlation):
    """log p(x, y) - log p(x) p(y) for all pairs, in closed form."""
    joint = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    alone = multivariate_normal([0, 0], np.eye(2))
    grid = np.stack(np.broadcast_arrays(x.numpy(), y.numpy().T), axis=-1)
    return torch.from_numpy(joint.logpdf(grid) - alone.logpdf(grid))


def test_the_bounds_at_the_best_critic():
    correlation = 0.8
    scores = density_ratio(*pairs(correlation, count=800), correlation)
    assert info_nce(scores).item() == pytest.approx(truth(correlation), abs=0.1)
    assert -math.log(4) < jensen_shannon(scores) < 0
    for worse in (scores + 0.5, scores * 0.5, torch.zeros_like(scores)):
        assert jensen_shannon(worse) < jensen_shannon(scores)
    assert jensen_shannon(torch.zeros(5, 5)).item() == pytest.approx(-math.log(4))


def test_info_nce_cannot_exceed_the_logarithm_of_the_batch():
    assert info_nce(100 * torch.eye(16)).item() == pytest.approx(math.log(16))


def test_a_critic_trained_with_the_other_bound_is_judged_alike_and_repeats():
    x, y = pairs(0.9)
    first = critic_information(x, y, bound=jensen_shannon, seed=1)
    assert first == pytest.approx(truth(0.9), abs=0.15)
    state = torch.get_rng_state()
    assert critic_information(x, y, bound=jensen_shannon, seed=1) == first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_features_with_a_graph_and_vectors_are_taken_under_any_mode(estimate):
    x, y = pairs(0.8, count=400)
    expected = estimate(x, y)
    with torch.no_grad():
        assert estimate(x.clone().requires_grad_(), y[:, 0]) == expected
    with torch.inference_mode():
        assert estimate(x, y) == estimate(x.clone(), y.clone()) == expected


def test_shrinkage_is_that_of_chen_et_al():
    x, y = pairs(0.5, count=12)
    joint = np.concatenate([x.numpy(), y.numpy()], axis=1)
    r, n, p = np.corrcoef(joint.T)[0, 1], 12, 2
    square, trace = 2 + 2 * r**2, 2
    rho = ((1 - 2 / p) * square + trace**2) / ((n + 1 - 2 / p) * (square - trace**2 / p))
    shrunken = (1 - min(1, rho)) * r
    assert gaussian_information(x, y) == pytest.approx(-math.log(1 - shrunken**2) / 2)


def covariances(seed=0):
    samples = torch.randn(400, 5, generator=make_generator(seed), dtype=torch.float64)
    samples = samples @ torch.randn(5, 5, generator=make_generator(seed + 1), dtype=torch.float64)
    return samples[:, :3], samples[:, 3:], np.cov(samples.T.numpy(), bias=True)


def gaussian_entropy(covariance):
    return multivariate_normal(np.zeros(len(covariance)), covariance).entropy()


def test_the_entropy_of_a_task_is_joint_less_marginal():
    x, y, covariance = covariances()
    assert task_entropy(x, y) == pytest.approx(gaussian_entropy(covariance) - gaussian_entropy(covariance[:3, :3]))


@pytest.mark.parametrize("sigma", [0.0, 0.5, 3.0])
def test_the_form_for_gaussian_noise_is_the_loss_of_joint_entropy(sigma):
    x, y, covariance = covariances()
    noisy = covariance + np.diag([sigma**2] * 3 + [0, 0])
    expected = gaussian_entropy(covariance) - gaussian_entropy(noisy)
    assert paper_mi_gaussian(x, y, sigma) == pytest.approx(expected)
    assert paper_mi_gaussian(x, y, sigma) <= 0


@given(k=st.integers(1, 12))
def test_the_optimal_form_is_that_of_its_matrix(k):
    q = (np.eye(k) + np.ones((k, k))) / (k + 1) - np.eye(k)
    assert paper_mi_optimal(k) == pytest.approx(-math.log(np.linalg.det(np.eye(k) + q)), abs=1e-9)
    assert paper_mi_linear(torch.from_numpy(q)) == pytest.approx(paper_mi_optimal(k), abs=1e-9)


def test_where_the_linear_form_fails():
    assert paper_mi_linear(-0.9 * torch.eye(5)) == pytest.approx(5 * math.log(10))
    shift = torch.eye(5).roll(1, 0)
    assert paper_mi_linear(shift - torch.eye(5)) == pytest.approx(0, abs=1e-9)
    assert paper_mi_linear(0.5 * (torch.eye(4).roll(1, 0) - torch.eye(4))) == math.inf


@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_the_form_for_salt_and_pepper_is_the_entropy_of_its_mask(probability):
    mask = [probability / 2, probability / 2, 1 - probability]
    assert paper_mi_salt_and_pepper(probability) == pytest.approx(-entropy(mask), abs=1e-12)


def test_the_closed_forms_are_found_by_the_name_of_the_noise():
    x, y, _ = covariances()
    assert PAPER_MI["gaussian"](x, y, sigma=0.5) == paper_mi_gaussian(x, y, 0.5)
    assert PAPER_MI["salt_and_pepper"](0.2) == paper_mi_salt_and_pepper(0.2)
    assert PAPER_MI["linear"](-0.9 * torch.eye(5)) == pytest.approx(5 * math.log(10))
    assert PAPER_MI["optimal"](4) == 3 * math.log(5)
    with pytest.raises(UnknownNameError, match="did you mean 'optimal'"):
        PAPER_MI["optimum"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussian_information(torch.zeros(3, 2), torch.zeros(4, 2)),
        lambda: gaussian_information(torch.zeros(1, 2), torch.zeros(1, 2)),
        lambda: gaussian_information(torch.full((9, 2), math.nan), torch.zeros(9, 2)),
        lambda: gaussian_information(*pairs(0.5, 20), shrinkage=2.0),
        lambda: neighbour_information(*pairs(0.5, 5), k=5),
        lambda: class_information(torch.rand(5, 2), torch.arange(5)),
        lambda: critic_information(*pairs(0.5, 7)),
        lambda: task_entropy(torch.ones(9, 2), torch.rand(9, 1)),
        lambda: task_entropy(pairs(0, 99)[0], 0.3 * pairs(0, 99)[0]),
        lambda: task_entropy(pairs(0, 99)[0] * torch.tensor([1, 0.3, -0.7]), pairs(0, 99)[1]),
        lambda: paper_mi_gaussian(*pairs(0.5, 9), sigma=-1),
        lambda: paper_mi_linear(torch.zeros(2, 3)),
        lambda: paper_mi_salt_and_pepper(1.1),
        lambda: paper_mi_optimal(0),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ArgumentError):
        call()
