"""What is done to the pixels before a network, against the libraries' own preprocessing."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.data import create_transform, resolve_model_data_config
from torch import nn
from torchvision import models
from torchvision.transforms.v2.functional import resize, to_pil_image

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.models.backbones import load_backbone
from noisewise.models.preprocess import resolve_preprocess


def random_images(*shape):
    return torch.rand(*shape, generator=make_generator(0))


def random_bytes(*shape):
    """Images that 8-bit pipelines hold exactly."""
    return torch.randint(256, shape, generator=make_generator(0), dtype=torch.uint8)


@pytest.mark.parametrize("name", ["test_byobnet", "test_resnet", "test_vit", "test_coatnet"])
def test_timm_networks_get_what_timm_gives_them(name):
    model = timm.create_model(name)
    images = random_bytes(2, 3, 160, 160)
    transform = create_transform(**resolve_model_data_config(model) | {"crop_pct": 1.0})
    expected = torch.stack([transform(to_pil_image(image)) for image in images])
    torch.testing.assert_close(resolve_preprocess(model)(images / 255), expected)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "efficientnet_b1"])
def test_torchvision_networks_get_what_their_weights_say(name):
    weights = models.get_model_weights(name).DEFAULT
    images = random_images(2, 3, 64, 64)
    expected = weights.transforms(crop_size=64, resize_size=64)(images)
    resolved = resolve_preprocess(nn.Identity(), weights)
    torch.testing.assert_close(resolved(images), expected)
    assert resolved.size == (weights.transforms().crop_size[0],) * 2
    assert str(weights) in resolved.source


def test_the_size_of_a_vision_transformer_goes_before_that_of_its_weights():
    model = models.VisionTransformer(32, 16, 1, 2, 16, 16)
    resolved = resolve_preprocess(model, models.ViT_B_16_Weights.DEFAULT)
    assert (resolved.size, resolved.fixed) == ((32, 32), True)


def test_torchvision_networks_without_weights_get_the_statistics_of_imagenet():
    images = random_images(2, 3, 64, 64)
    expected = models.ResNet18_Weights.DEFAULT.transforms(crop_size=64, resize_size=64)(images)
    resolved = resolve_preprocess(models.mobilenet_v3_small())
    torch.testing.assert_close(resolved(images), expected)
    assert "ImageNet" in resolved.source


def tiny_vit(transformers, **options):
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, **options
    )
    return transformers.ViTForImageClassification(config)


def test_transformers_networks_get_what_their_processor_says(tmp_path):
    transformers = pytest.importorskip("transformers")
    processor = transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]
    )
    tiny_vit(transformers).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model = transformers.ViTForImageClassification.from_pretrained(tmp_path, local_files_only=True)
    images = random_bytes(2, 3, 32, 32)
    expected = processor(list(images), return_tensors="pt")["pixel_values"]
    resolved = resolve_preprocess(model)
    torch.testing.assert_close(resolved(images / 255), expected)
    assert str(tmp_path) in resolved.source


def test_a_processor_that_does_not_normalise_is_obeyed(tmp_path):
    transformers = pytest.importorskip("transformers")
    tiny_vit(transformers).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(do_normalize=False).save_pretrained(tmp_path)
    model = transformers.ViTForImageClassification.from_pretrained(tmp_path, local_files_only=True)
    images = random_images(2, 3, 32, 32)
    assert torch.equal(resolve_preprocess(model)(images), images)


def test_a_processor_that_wants_bgr_is_refused(tmp_path):
    transformers = pytest.importorskip("transformers")
    tiny_vit(transformers).save_pretrained(tmp_path)
    transformers.MobileViTImageProcessor(do_flip_channel_order=True).save_pretrained(tmp_path)
    model = transformers.ViTForImageClassification.from_pretrained(tmp_path, local_files_only=True)
    with pytest.raises(ArgumentError, match="wants BGR"):
        resolve_preprocess(model)


def test_transformers_networks_without_a_processor_get_one_half():
    transformers = pytest.importorskip("transformers")
    resolved = resolve_preprocess(tiny_vit(transformers))
    images = random_images(2, 3, 32, 32)
    torch.testing.assert_close(resolved(images), 2 * images - 1)
    assert "no preprocessor_config.json" in resolved.source


def rigid_networks():
    transformers = pytest.importorskip("transformers")
    torchvision_vit = models.VisionTransformer(32, 16, 1, 2, 16, 16, num_classes=3)
    return {
        "timm at its usual size": (timm.create_model("test_vit", dynamic_img_size=False), 160),
        "timm at another size": (timm.create_model("test_vit", dynamic_img_size=False, img_size=64), 64),
        "timm without patches": (timm.create_model("test_coatnet"), 160),
        "torchvision": (torchvision_vit, 32),
        "transformers": (tiny_vit(transformers), 32),
    }


@pytest.mark.parametrize("which", range(5))
def test_networks_of_one_size_take_images_of_any(which):
    model, side = list(rigid_networks().values())[which]
    resolved, images = resolve_preprocess(model), random_images(2, 3, 40, 56)
    assert (resolved.size, resolved.fixed) == ((side, side), True)
    torch.testing.assert_close(resolved(images), resolved(resize(images, [side, side], antialias=True)))
    model.eval()(resolved(images))


def flexible_networks():
    transformers = pytest.importorskip("transformers")
    config = transformers.ConvNextConfig(hidden_sizes=[8, 8], depths=[1, 1], num_stages=2, image_size=32)
    return [
        timm.create_model("test_resnet"),
        timm.create_model("test_vit", dynamic_img_size=True),
        models.mobilenet_v3_small(),
        transformers.ConvNextForImageClassification(config),
    ]


@pytest.mark.parametrize("which", range(4))
def test_images_keep_their_size_before_networks_that_take_any(which):
    model = flexible_networks()[which].eval()
    resolved, images = resolve_preprocess(model), random_images(2, 3, 48, 64)
    assert resolved.size is not None
    assert not resolved.fixed
    assert resolved(images).shape == images.shape
    model(resolved(images))


@pytest.mark.parametrize("name", ["torchvision:fcos_resnet50_fpn", "noisewise:fasterrcnn_swin_v2_t_fpn"])
@pytest.mark.filterwarnings("ignore:.*randomly initialised")
def test_detectors_that_normalise_by_themselves_get_the_pixels_as_they_are(name):
    with torch.device("meta"):
        resolved = resolve_preprocess(load_backbone(name))
    images = random_images(2, 3, 9, 11)
    assert torch.equal(resolved(images), images)
    assert (resolved.size, resolved.fixed) == (None, False)
    assert "normalise by themselves" in resolved.source


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_networks_of_ones_own_get_the_pixels_as_they_are(channels):
    resolved = resolve_preprocess(nn.Sequential(nn.Conv2d(channels, 2, 3)))
    images = random_images(2, channels, 9, 11)
    assert torch.equal(resolved(images), images)
    assert "Sequential is of no known library" in resolved.source


def test_a_subclass_is_of_its_parents_library():
    class Mine(models.ResNet):
        pass

    model = Mine(models.resnet.BasicBlock, [1, 1, 1, 1])
    assert resolve_preprocess(model) == resolve_preprocess(models.mobilenet_v3_small())


def test_grey_images_before_a_network_of_three_channels_are_refused():
    with pytest.raises(ArgumentError, match="expected images with 3 channels, got 1"):
        resolve_preprocess(models.mobilenet_v3_small())(random_images(1, 1, 8, 8))
