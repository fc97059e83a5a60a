"""Scales in, scales out: what they are pooled from, what they weigh, and that hidden pixels stay hidden."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise._rng import initialised, make_generator
from noisewise.methods.nvt import Pyramid, masked_pool, pyramid_loss
from noisewise.models.unet import UNet

WIDTHS = (4, 6, 8)


def images(seed=0, count=2):
    return torch.rand(count, 3, 16, 16, generator=make_generator(seed), dtype=torch.float64)


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]))
def test_a_masked_pool_is_the_mean_of_what_counts(seed, factor):
    values = images(seed)
    mask = (torch.rand(2, 1, 16, 16, generator=make_generator(seed + 1)) < 0.3).double()
    pooled, share = masked_pool(values, mask, factor)
    hidden = np.ma.masked_array(values.numpy(), 1 - mask.expand_as(values).numpy())
    squares = hidden.reshape(2, 3, 16 // factor, factor, 16 // factor, factor)
    expected = squares.mean(axis=(3, 5)).filled(0)
    np.testing.assert_allclose(pooled.numpy(), expected, atol=1e-12)
    assert torch.equal(share == 0, (pooled[:, :1] == 0) & (share == 0))


def test_hidden_pixels_change_nothing():
    target, mask = images(), (torch.rand(2, 1, 16, 16, generator=make_generator(3)) < 0.5).double()
    scales = [images(5), images(6)[..., ::2, ::2], images(7)[..., ::4, ::4]]
    other = torch.where(mask.bool(), target, images(8))
    assert float(pyramid_loss(scales, target, mask)) == pytest.approx(float(pyramid_loss(scales, other, mask)))


def test_every_scale_weighs_what_its_share_of_pixels_is():
    target = images()
    off = [target + 1, torch.nn.functional.avg_pool2d(target, 2) + 1, torch.nn.functional.avg_pool2d(target, 4) + 1]
    assert float(pyramid_loss(off, target)) == pytest.approx(1 + 1 / 4 + 1 / 16)
    assert float(pyramid_loss([target], target)) == 0
    assert float(pyramid_loss([target + 1], target, torch.zeros(2, 1, 16, 16))) == 0


def test_any_encoder_decoder_gets_its_scales_and_learns_from_them():
    network = initialised(lambda: Pyramid(UNet(3, WIDTHS), 3, WIDTHS), 0).double()
    scales = network.decode(network.encode(images()))
    assert [tuple(scale.shape) for scale in scales] == [(2, 3, side, side) for side in (16, 8, 4)]
    assert torch.equal(scales[0], network(images()))
    pyramid_loss(scales, images(1)).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.heads.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in network.injections.parameters())
