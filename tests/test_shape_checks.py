"""The shape checks themselves: noisewise is checked, and its own errors are heard before a violation."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.noise import Gaussian
from shape_checks import check_returned_call


def checked(function):
    return jaxtyping.jaxtyped(function, typechecker=check_returned_call)


def test_a_result_of_another_shape_is_a_violation():
    @checked
    def drop_the_batch(images: Images) -> Images:
        return images[0]

    with pytest.raises(jaxtyping.TypeCheckError):
        drop_the_batch(torch.zeros(2, 3, 4, 4))


def test_a_result_of_the_promised_shape_passes():
    @checked
    def keep(images: Images) -> Images:
        return images

    assert keep(torch.zeros(2, 3, 4, 4)).shape == (2, 3, 4, 4)


def test_noisewise_is_checked():
    with pytest.raises(jaxtyping.TypeCheckError):
        Gaussian().moments(torch.zeros(3, 4, 4))


def test_an_error_of_noisewise_comes_before_a_violation():
    with pytest.raises(ArgumentError):
        Gaussian()(torch.zeros(3, 4, 4), generator=torch.Generator())
