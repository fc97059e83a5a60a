import numpy as np
import pytest

from noisewise.errors import ArgumentError
from noisewise.measure import bootstrap_mean, paired_bootstrap, percentile_interval


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 2.0, size=(200, 40))
    intervals = [bootstrap_mean(s, resamples=500, level=0.9, seed=i) for i, s in enumerate(samples)]
    covered = np.mean([i.low <= 3.0 <= i.high for i in intervals])
    assert 0.83 < covered < 0.96  # 0.9 less 0.01 for 40 values, three standard errors of 200 trials


def test_the_interval_is_the_normal_one_for_many_values():
    values = np.random.default_rng(1).normal(0, 1, 2000)
    result = bootstrap_mean(values, seed=3)
    half = 1.96 * values.std() / np.sqrt(values.size)
    assert result.mean == pytest.approx(values.mean())
    np.testing.assert_allclose([result.low, result.high], values.mean() + np.array([-half, half]), atol=0.1 * half)


def test_pairing_cancels_what_the_images_share():
    rng = np.random.default_rng(2)
    difficulty = rng.normal(30, 5, 50)
    a, b = difficulty + 0.2 + rng.normal(0, 0.05, 50), difficulty + rng.normal(0, 0.05, 50)
    paired = paired_bootstrap(a, b, resamples=2000)
    assert 0.15 < paired.low < paired.mean < paired.high < 0.25
    assert paired.mean == pytest.approx(a.mean() - b.mean())


def test_the_seed_decides_the_interval():
    values = np.random.default_rng(4).exponential(size=30)
    first, again, other = (bootstrap_mean(values, resamples=300, seed=s) for s in (5, 5, 6))
    assert first == again
    assert first != other


def test_equal_values_have_an_interval_of_no_width():
    assert bootstrap_mean([2.0, 2.0, 2.0], resamples=100) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(("values", "level"), [([1.0], 0.95), ([1.0, float("nan")], 0.95), ([1.0, 2.0], 95)])
def test_what_cannot_be_resampled_is_refused(values, level):
    with pytest.raises(ArgumentError, match="expected"):
        bootstrap_mean(values, level=level)


def test_methods_measured_on_different_images_are_refused():
    with pytest.raises(ArgumentError, match="one value of each method"):
        paired_bootstrap([1.0, 2.0], [1.0, 2.0, 3.0])


def test_percentile_interval_of_a_mean_is_that_of_scipys_bootstrap():
    values = np.random.default_rng(0).normal(size=50)
    draws = np.random.default_rng(1).integers(50, size=(20_000, 50))
    found = percentile_interval(values.mean(), values[draws].mean(1))
    assert found == pytest.approx(bootstrap_mean(values.tolist(), resamples=20_000, seed=3), abs=0.02)


def test_percentile_interval_refuses_what_is_no_sample():
    with pytest.raises(ArgumentError, match="at least two"):
        percentile_interval(1.0, [1.0])
    with pytest.raises(ArgumentError, match="finite"):
        percentile_interval(1.0, [1.0, float("nan")])
