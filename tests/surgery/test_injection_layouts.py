"""Noise inside a network acts on the right dimension of a map, and on the right tokens."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from timm.models.cait import Cait
from timm.models.convit import ConVit
from timm.models.convnext import ConvNeXt
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from timm.models.xcit import Xcit
from torch import nn

from noisewise._rng import make_generator
from noisewise.noise import CircularShift, OptimalQ
from noisewise.surgery import inject


def output_at(place, model, places, pixels, **options):
    """What the module called ``place`` hands on, with noise at ``places``."""
    seen = []
    with inject(model, places, **options):
        listener = model.get_submodule(place).register_forward_hook(lambda module, inputs, output: seen.append(output))
        model(pixels)
        listener.remove()
    return seen[-1].detach()


def timm_swin(width):
    return SwinTransformer(64, embed_dim=width, depths=(1, 1), num_heads=(1, 2), window_size=2, num_classes=2)


def torchvision_swin(width):
    return torchvision.models.SwinTransformer([4, 4], width, [1, 1], [1, 2], [2, 2], num_classes=2)


CHANNELS_LAST = [
    (timm_swin, 12, "layers.0.blocks.0.norm1"),
    (timm_swin, 12, "layers.0.blocks.0"),
    (timm_swin, 16, "layers.0.blocks.0"),  # as many channels as rows
    (timm_swin, 12, "layers.1.downsample"),
    (timm_swin, 12, "layers.1"),
    (timm_swin, 12, "patch_embed"),
    (torchvision_swin, 12, "features.1.0"),
    (torchvision_swin, 12, "features.2"),
]


@pytest.mark.parametrize("axis", ["channels", "tokens"])
@pytest.mark.parametrize(("build", "width", "place"), CHANNELS_LAST)
def test_the_maps_of_a_swin_have_their_channels_last(build, width, place, axis):
    torch.manual_seed(0)
    model, noise = build(width).eval(), CircularShift(0.4, axis=axis)
    pixels = torch.randn(2, 3, 64, 64, generator=make_generator(0))
    plain, noisy = (output_at(place, model, places, pixels, when="test") for places in ({}, {place: noise}))
    expected = noise(plain.flatten(1, 2), generator=make_generator(0))
    torch.testing.assert_close(noisy.flatten(1, 2), expected)


@pytest.mark.parametrize("columns", [9, 8, 32])  # as wide as no layer, as the block, as its hidden layer
@pytest.mark.parametrize("place", ["stages.0.blocks.0", "stages.0"])
def test_the_maps_of_a_convnext_have_their_channels_second(place, columns):
    torch.manual_seed(0)
    model, noise = ConvNeXt(depths=(1,) * 4, dims=(8,) * 4).eval(), CircularShift(0.4, axis="channels")
    pixels = torch.randn(1, 3, 32, 4 * columns, generator=make_generator(0))
    plain, noisy = (output_at(place, model, places, pixels, when="test") for places in ({}, {place: noise}))
    torch.testing.assert_close(noisy, noise(plain, generator=make_generator(0)))


def test_class_tokens_are_spared_unless_told_otherwise():
    model = timm.create_model("deit_tiny_distilled_patch16_224", img_size=32).train()
    pixels, place = torch.randn(3, 3, 32, 32, generator=make_generator(0)), "blocks.11.norm1"
    plain = output_at(place, model, {}, pixels)
    spared, all_mixed = (
        output_at(place, model, {"last": OptimalQ()}, pixels, keep_prefix=keep) for keep in ("auto", 0)
    )
    torch.testing.assert_close(spared[:, :2], plain[:, :2])
    assert not torch.allclose(spared[:, 2:], plain[:, 2:], atol=1e-3)
    assert not torch.allclose(all_mixed[:, :2], plain[:, :2], atol=1e-3)


def convit():
    return ConVit(32, 8, num_classes=2, embed_dim=4, depth=3, num_heads=2, local_up_to_layer=2)


def cait():
    return Cait(32, 8, num_classes=2, embed_dim=8, depth=2, num_heads=2, depth_token_only=1)


def xcit():
    return Xcit(32, 8, num_classes=2, embed_dim=8, depth=2, num_heads=2, cls_attn_layers=1)


def vit():
    return VisionTransformer(32, 8, num_classes=2, embed_dim=8, depth=2, num_heads=2)


SPARED = [
    (vit, "patch_embed", 0),
    (vit, "blocks.0.norm1", 1),
    (convit, "patch_embed", 0),
    (convit, "pos_drop", 0),
    (convit, "blocks.1.norm1", 0),
    (convit, "blocks.2.norm1", 1),
    (convit, "norm", 1),
    (cait, "blocks.1.norm1", 0),
    (cait, "blocks_token_only.0.norm1", 1),
    (xcit, "blocks.1.norm1", 0),
    (xcit, "cls_attn_blocks.0.norm1", 1),
]


@pytest.mark.parametrize(("build", "place", "count"), SPARED)
@pytest.mark.parametrize("wrap", [lambda model: model, nn.Sequential])
def test_as_many_tokens_are_spared_as_there_are_class_tokens_at_the_place(build, place, count, wrap):
    torch.manual_seed(0)
    model = wrap(build()).eval()
    place = place if not isinstance(model, nn.Sequential) else f"0.{place}"
    pixels = torch.randn(3, 3, 32, 32, generator=make_generator(0))
    noise = {place: CircularShift(0.5)}
    options = {"when": "test", "allow_batch_mixing": True}
    plain, noisy = (output_at(place, model, places, pixels, **options) for places in ({}, noise))
    assert (plain != noisy).any(-1).all(0).tolist() == [index >= count for index in range(16 + count)]
