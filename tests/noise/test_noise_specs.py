"""Noises written as text."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ArgumentError, NoisewiseError, UnknownNameError
from noisewise.noise import (
    FEATURE_NOISES,
    NOISES,
    Camera,
    Chain,
    CircularShift,
    FeatureGaussian,
    Gaussian,
    Grouped,
    Jpeg,
    OptimalQ,
    Poisson,
    RandomLevels,
    ShotRead,
    parse_feature_noise,
    parse_noise,
)
from noisewise.noise.additive import Tails

BOUNDS = {"quality": (1, 100), "probability": (0, 1), "amount": (0, 1), "chroma": (0, 1)}


def test_a_name_alone_has_the_default_levels():
    for name, noise_type in NOISES.items():
        assert parse_noise(name) == noise_type()


def test_pixel_units_are_0_to_255_and_others_are_as_they_are():
    assert parse_noise("gaussian:sigma=25") == Gaussian(25 / 255)
    assert parse_noise("camera:gain=1,red=1.5") == Camera(gain=1 / 255, red=1.5)
    assert parse_noise("shot_read:gain=2,tails=student_t") == ShotRead(2 / 255, tails="student_t")


def test_a_plus_chains_and_a_range_is_drawn():
    noise = parse_noise(" poisson : gain = 2 + jpeg:quality=40..90 ")
    assert noise == Chain((Poisson(2 / 255), RandomLevels(Jpeg(), {"quality": (40, 90)})))


def test_an_unknown_noise_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'gaussian'"):
        parse_noise("gausian:sigma=25")


def test_an_unknown_noise_without_a_neighbour_lists_them_all():
    with pytest.raises(UnknownNameError, match="choose one of camera, "):
        parse_noise("zzz")


def test_an_unknown_field_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="no field 'sigm'; did you mean 'sigma'"):
        parse_noise("gaussian:sigm=25")


@pytest.mark.parametrize(
    "spec",
    [
        "gaussian:sigma",
        "gaussian:sigma=",
        "gaussian:sigma=much",
        "gaussian:sigma=1..2..3",
        "gaussian:sigma=3..1",
        "gaussian:sigma=-1",
        "gaussian:sigma=-1..1",
        "gaussian:sigma=inf",
        "gaussian:sigma=nan",
        "poisson:gain=0..inf",
        "jpeg:quality=0",
        "jpeg:quality=101",
        "salt_and_pepper:probability=1.1",
        "shot_read:tails=cauchy",
        "camera:red=0",
        "",
        "+",
        "gaussian+",
    ],
)
def test_what_cannot_be_a_noise_is_refused(spec):
    with pytest.raises(ArgumentError, match=r"expected|there is no noise"):
        parse_noise(spec)


def numbers(field):
    low, high = BOUNDS.get(field.name, (0.125, 64))
    return st.floats(low, high).filter(lambda value: "e" not in repr(value))


@st.composite
def specs(draw):
    """A specification and the noise that it describes, built without the parser."""
    name = draw(st.sampled_from(sorted(NOISES)))
    texts, fixed, ranges = [], {}, {}
    for field in draw(st.lists(st.sampled_from(dataclasses.fields(NOISES[name])), unique_by=lambda f: f.name)):
        unit = 255.0 if field.metadata.get("per_255") else 1.0
        if isinstance(field.default, str):
            fixed[field.name] = text = draw(st.sampled_from(get_args(Tails)))
        elif draw(st.booleans()):
            low, high = sorted(draw(st.tuples(numbers(field), numbers(field))))
            text, ranges[field.name] = f"{low!r}..{high!r}", (low / unit, high / unit)
        else:
            text = repr(value := draw(numbers(field)))
            fixed[field.name] = value / unit
        texts.append(f"{field.name}={text}")
    noise = NOISES[name](**fixed)
    return f"{name}:{','.join(texts)}", RandomLevels(noise, ranges) if ranges else noise


@given(st.lists(specs(), min_size=1, max_size=3))
def test_what_is_written_is_what_is_built(parts):
    texts, noises = zip(*parts, strict=True)
    assert parse_noise("+".join(texts)) == (noises[0] if len(noises) == 1 else Chain(noises))


words = st.sampled_from([*NOISES, "sigma", "gain", "tails", "=", ":", ",", "+", "..", "1", "-3", "nan", "1e999", " "])


@given(st.text() | st.lists(words).map("".join))
def test_any_text_is_a_noise_or_an_error_of_noisewise(text):
    with contextlib.suppress(NoisewiseError):
        assert parse_noise(text).mixes_samples is False


def test_the_plus_of_an_exponent_joins_no_noises():
    assert parse_noise("gaussian:sigma=1e+1+poisson:gain=2") == parse_noise("gaussian:sigma=10+poisson:gain=2")


def test_feature_noises_are_written_as_text():
    assert parse_feature_noise("circular:strength=0.2,axis=tokens") == CircularShift(0.2, "tokens")
    assert parse_feature_noise("gaussian:sigma=2") == FeatureGaussian(2.0)
    with pytest.raises(UnknownNameError, match="did you mean 'optimal'"):
        parse_feature_noise("optimum")
    with pytest.raises(ArgumentError, match="got a range"):
        parse_feature_noise("circular:strength=0.1..0.3")


def test_groups_are_one_more_field_of_noises_over_the_batch():
    assert parse_feature_noise("optimal:groups=8") == Grouped(OptimalQ(), 8)
    assert parse_feature_noise("circular: groups = 4 ,strength=0.2") == Grouped(CircularShift(0.2), 4)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("optimal:groups=2.5", "whole number for groups, got 2.5"),
        ("optimal:groups=0", "at least one sample a group"),
        ("optimal:groups=2..4", "got a range"),
        ("optimal:groups=many", "a number"),
        ("optimal:groups=8,axis=tokens", "axis=batch beside groups, got axis=tokens; leave one"),
        ("circular:groop=8", "did you mean 'groups'"),
        ("circular:groups", "its fields: strength, axis, groups"),
        ("gaussian:groups=8", "'gaussian' has no field 'groups'; its fields: sigma, mean"),
    ],
)
def test_groups_that_cannot_be_are_refused(spec, told):
    with pytest.raises(ArgumentError, match=told):
        parse_feature_noise(spec)


feature_words = st.sampled_from([*FEATURE_NOISES, "strength", "axis", "groups", "=", ":", ",", "..", "1", "2.5", "nan"])


@given(st.text() | st.lists(feature_words).map("".join))
def test_any_text_is_a_feature_noise_or_an_error_of_noisewise(text):
    with contextlib.suppress(NoisewiseError):
        assert parse_feature_noise(text).mixes_samples in (True, False)
