"""The U-Net in two halves: shapes of any size, and halves that make the whole."""

from __future__ import annotations

import pytest
import torch

from noisewise._rng import initialised, make_generator
from noisewise.models.unet import UNet


def unet(channels=3, widths=(4, 6, 8)):
    return initialised(lambda: UNet(channels, widths), 0).eval()


@pytest.mark.parametrize("size", [(16, 24), (17, 23), (1, 1), (5, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_of_image_comes_back(size, channels):
    images = torch.rand(2, channels, *size, generator=make_generator(0))
    assert unet(channels)(images).shape == images.shape


def test_the_halves_make_the_whole_and_each_level_is_half_as_large():
    network, images = unet(), torch.rand(2, 3, 16, 24, generator=make_generator(0))
    features = network.encode(images)
    assert [tuple(level.shape[1:]) for level in features] == [(4, 16, 24), (6, 8, 12), (8, 4, 6)]
    image, *levels = network.decode(features)
    assert torch.equal(image, network(images))
    assert [tuple(level.shape[1:]) for level in levels] == [(6, 8, 12), (8, 4, 6)]
