"""Noise on features: what all of it promises, and the matrices of Positive Noise against their definitions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import circulant

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.noise import (
    FEATURE_NOISES,
    CircularShift,
    FeatureGaussian,
    FeatureSaltAndPepper,
    Grouped,
    LinearTransform,
    OptimalQ,
    violated_constraints,
)

SHAPES = [(4, 5), (4, 3, 5), (4, 5, 2, 3), (1, 5), (2, 1, 1, 1)]
AXES = {"batch": 0, "tokens": 1, "channels": 2}
NOISES = {name: noise_type() for name, noise_type in FEATURE_NOISES.items()} | {
    "grouped": Grouped(OptimalQ(), [0] * 4),
    "any matrix": LinearTransform(matrix=0.1 * torch.rand(4, 4, generator=make_generator(7))),
}


def disturb(noise, features, seed=0):
    return noise(features, generator=make_generator(seed))


def tokens(count=4, dtype=torch.float64):
    return torch.randn(count, 3, 5, generator=make_generator(1), dtype=dtype)


@pytest.fixture(params=[pytest.param(noise, id=name) for name, noise in NOISES.items()])
def noise(request):
    return request.param


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_shape_dtype_and_its_input(noise, dtype):
    features = tokens(dtype=dtype)
    before = features.clone()
    noisy = disturb(noise, features)
    assert (noisy.shape, noisy.dtype) == (features.shape, dtype)
    assert torch.equal(features, before)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FEATURE_NOISES)
def test_acts_on_every_kind_of_features(name, shape):
    assert disturb(FEATURE_NOISES[name](), torch.rand(shape)).shape == shape


def test_same_seed_same_result_and_no_global_randomness(noise):
    torch.manual_seed(1)
    first = disturb(noise, tokens())
    torch.manual_seed(2)
    assert torch.equal(disturb(noise, tokens()), first)


def test_level_zero_is_the_identity_and_another_is_not(noise):
    assert torch.equal(disturb(noise.scaled(0), tokens()), tokens())
    assert not torch.equal(disturb(noise, tokens()), tokens())


def test_gradients_pass(noise):
    features = tokens().requires_grad_()
    disturb(noise, features).sum().backward()
    assert features.grad.isfinite().all()
    assert features.grad.any()


def test_is_frozen(noise):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(noise, dataclasses.fields(noise)[0].name, None)


def test_says_truly_whether_it_mixes_samples(noise):
    features, mates = tokens(), tokens()
    mates[1:] += 1
    changed = not torch.equal(disturb(noise, features)[0], disturb(noise, mates)[0])
    assert changed == noise.mixes_samples


@pytest.mark.parametrize("features", [torch.zeros(3), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(1, 1, 1, 1, 1)])
def test_refuses_what_are_no_features(noise, features):
    with pytest.raises(ArgumentError, match="floating features B x C"):
        disturb(noise, features)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("linear", [CircularShift(0.3), OptimalQ(0.7), OptimalQ()])
def test_a_linear_noise_is_the_product_with_its_matrix(linear, axis):
    linear = dataclasses.replace(linear, axis=axis)
    features, dim = tokens(), AXES[axis]
    total = torch.eye(features.shape[dim]) + linear.quality_matrix(features.shape[dim])
    rows = "bnc"[dim]
    expected = torch.einsum(f"k{rows},bnc->{'bnc'.replace(rows, 'k')}", total, features)
    torch.testing.assert_close(disturb(linear, features), expected)
    given_matrix = LinearTransform(matrix=linear.quality_matrix(features.shape[dim]), axis=axis)
    torch.testing.assert_close(disturb(given_matrix, features), expected)


@given(k=st.integers(2, 9), strength=st.floats(0, 1))
def test_the_circular_shift_is_a_circulant(k, strength):
    first_column = np.zeros(k)
    first_column[-1] += strength
    first_column[0] += 1 - strength
    np.testing.assert_allclose(
        np.eye(k) + CircularShift(strength).quality_matrix(k).numpy(), circulant(first_column), atol=1e-12
    )


@given(k=st.integers(2, 9))
def test_the_optimal_matrix_is_that_of_the_paper(k):
    total = np.eye(k) + OptimalQ().quality_matrix(k).numpy()
    np.testing.assert_allclose(total, (np.eye(k) + np.ones((k, k))) / (k + 1))


def test_the_channels_of_a_map_are_its_second_axis():
    maps = torch.randn(2, 5, 2, 3, generator=make_generator(2), dtype=torch.float64)
    for linear in (CircularShift(0.4, axis="channels"), OptimalQ(axis="channels")):
        total = torch.eye(5) + linear.quality_matrix(5)
        torch.testing.assert_close(disturb(linear, maps), torch.einsum("kc,bchw->bkhw", total, maps))


def test_features_without_tokens_are_refused():
    with pytest.raises(ArgumentError, match="tokens"):
        disturb(OptimalQ(axis="tokens"), torch.zeros(2, 5))


def test_half_precision_does_not_overflow():
    features = torch.full((2000, 2), 100.0, dtype=torch.float16)
    torch.testing.assert_close(disturb(OptimalQ(), features), features)


@pytest.mark.parametrize(
    ("noise", "full"),
    [
        (CircularShift(0.3), CircularShift(1.0)),
        (FeatureSaltAndPepper(0.3), FeatureSaltAndPepper(1.0)),
        (Grouped(OptimalQ(0.3), 2), Grouped(OptimalQ(1.0), 2)),
    ],
)
def test_scaling_ends_where_the_range_ends(noise, full):
    assert noise.scaled(1 / 0.3) == full
    for factor in (3.4, 5, float("nan")):
        with pytest.raises(ArgumentError, match=r"factor of at most 3\.33333.*level of 0\.3"):
            noise.scaled(factor)
    with pytest.raises(ArgumentError, match="expected"):
        noise.scaled(-1)


def test_the_tokens_of_a_map_are_its_places():
    maps = torch.randn(2, 5, 2, 3, generator=make_generator(2))
    as_tokens = maps.flatten(2).transpose(1, 2)
    for linear in (CircularShift(0.4, axis="tokens"), OptimalQ(axis="tokens")):
        expected = disturb(linear, as_tokens).transpose(1, 2).view_as(maps)
        torch.testing.assert_close(disturb(linear, maps), expected)


def test_the_matrices_of_the_paper_fail_its_own_constraints():
    singular = "Q is singular, hence not row equivalent to I"
    assert OptimalQ().violated_constraints(4) == [singular]
    assert CircularShift(0.3).violated_constraints(4) == [singular]
    assert CircularShift(0.5).violated_constraints(4) == ["I + Q is singular", singular]
    assert CircularShift(0.5).violated_constraints(5) == [singular]
    assert "a row of I + Q exceeds its diagonal" in CircularShift(0.7).violated_constraints(4)


def test_a_matrix_with_a_negative_weight_can_meet_all_constraints():
    total = torch.tensor([[0.6, -0.4], [0.3, 0.7]], dtype=torch.float64)
    assert violated_constraints(total - torch.eye(2)) == []
    assert violated_constraints(2 * total - torch.eye(2)) == ["a row of |I + Q| does not sum to one"]


def test_constraints_are_judged_of_square_matrices_of_any_numbers():
    whole = torch.tensor([[0, 1], [1, 0]])
    expected = violated_constraints(whole.double())
    assert "a row of |I + Q| does not sum to one" in expected
    for dtype in (torch.int64, torch.float16, torch.bfloat16, torch.float32):
        assert violated_constraints(whole.to(dtype)) == expected
    for shape in ((2, 3), (4,), (2, 2, 2)):
        with pytest.raises(ArgumentError, match="expected a square matrix"):
            violated_constraints(torch.zeros(shape))


@pytest.mark.parametrize("linear", [OptimalQ(), CircularShift(1.0), LinearTransform(matrix=-torch.eye(4))])
def test_autocast_does_not_coarsen_the_mixing(linear):
    features = tokens(dtype=torch.float32)
    plain = disturb(linear, features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(disturb(linear, features), plain)


def test_a_batch_with_other_rows_than_the_matrix_is_refused_with_the_mend():
    with pytest.raises(ArgumentError, match=r"4 rows.*drop_last=True.*OptimalQ.*got 3"):
        disturb(LinearTransform(matrix=torch.zeros(4, 4)), tokens(3))


def test_a_single_row_stays_as_it_is_and_has_no_matrix():
    one = tokens(1)
    for linear in (CircularShift(0.3), OptimalQ()):
        assert torch.equal(disturb(linear, one), one)
        with pytest.raises(ArgumentError, match="at least two rows to mix"):
            linear.quality_matrix(1)


def test_gaussian_features_have_the_stated_moments():
    noise = disturb(FeatureGaussian(sigma=2.0, mean=0.5), torch.zeros(200, 500, dtype=torch.float64))
    assert noise.mean().item() == pytest.approx(0.5, abs=5 * 2 / 1e5**0.5)
    assert noise.std().item() == pytest.approx(2.0, rel=5 / (2 * 1e5) ** 0.5)


def test_salt_and_pepper_are_the_extremes_of_the_sample():
    features = torch.randn(50, 2000, generator=make_generator(3))
    noisy = disturb(FeatureSaltAndPepper(0.2), features)
    salt = (noisy == features.amax(1, keepdim=True)).float().mean().item()
    pepper = (noisy == features.amin(1, keepdim=True)).float().mean().item()
    error = 5 * (0.1 * 0.9 / 1e5) ** 0.5 + 1 / 2000
    assert (salt, pepper) == (pytest.approx(0.1, abs=error), pytest.approx(0.1, abs=error))
    unchanged = (noisy == features).float().mean().item()
    assert unchanged == pytest.approx(0.8, abs=2 * error)


@pytest.mark.parametrize(
    "build",
    [
        lambda: CircularShift(1.5),
        lambda: CircularShift(-0.1),
        lambda: OptimalQ(float("nan")),
        lambda: OptimalQ(axis="rows"),
        lambda: FeatureGaussian(-1),
        lambda: FeatureGaussian(float("inf")),
        lambda: FeatureGaussian(float("nan")),
        lambda: FeatureGaussian(mean=float("nan")),
        lambda: FeatureGaussian(mean=float("inf")),
        lambda: FeatureSaltAndPepper(2),
        lambda: Grouped(OptimalQ(), 0),
        lambda: Grouped(OptimalQ(), np.int64(0)),
        lambda: Grouped(OptimalQ(), 2.0),
        lambda: Grouped(OptimalQ(), [[1], [2]]),
        lambda: Grouped(OptimalQ(), None),
        lambda: LinearTransform(matrix=torch.zeros(2, 3)),
    ],
)
def test_levels_out_of_range_are_refused(build):
    with pytest.raises(ArgumentError, match="expected"):
        build()
