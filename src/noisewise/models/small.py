"""Small networks of timm's and torchvision's parts that train from scratch on a processor in about half an hour."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["small_detector", "small_resnet", "small_segmenter", "small_vit", "strided_resnet"]

_CLASSES, _SIDE = 40, 64  # Tiny-ImageNet-40
_PIXEL_CLASSES = 11  # CamVid
_PYRAMID = 64  # channels
_PEOPLE = 2  # they, and the background, which torchvision's detectors count


def small_resnet(outputs: int = _CLASSES, side: int = _SIDE) -> nn.Module:
    """A ResNet-10 whose first stage sees every pixel, as those for CIFAR do (He et al. 2016, section 4.2).

    0.3 M parameters and 141 MFLOPs for an image of 64 x 64.

    Args:
        outputs: number of classes, or dimensions of an embedding.
        side: of the square images that it is to be trained on, in pixels; it takes other sizes, too.
    """
    return _resnet(outputs, side, stride=1, channels=(16, 32, 64, 128), stem_width=8)


def strided_resnet(outputs: int = _CLASSES, side: int = _SIDE) -> nn.Module:
    """A ResNet-10 that halves the image in its first convolution, as those for large images do (He et al. 2019).

    0.7 M parameters and 91 MFLOPs for an image of 64 x 64.

    Args:
        outputs: number of classes, or dimensions of an embedding.
        side: of the square images that it is to be trained on, in pixels; it takes other sizes, too.
    """
    return _resnet(outputs, side, stride=2, channels=(24, 48, 96, 192), stem_width=16)


def small_vit(outputs: int = _CLASSES, side: int = _SIDE) -> nn.Module:
    """A vision transformer on patches of 8 x 8 with the mean of all tokens before the head (Dosovitskiy et al. 2021).

    0.7 M parameters and 97 MFLOPs for an image of 64 x 64.

    Args:
        outputs: number of classes, or dimensions of an embedding.
        side: of the square images, in pixels, a multiple of 8; it takes no other size.
    """
    sizes = {"patch_size": 8, "embed_dim": 96, "depth": 6, "num_heads": 3}
    pooling = {"class_token": False, "global_pool": "avg"}
    network = _timm_network("vit_tiny_patch16_224", outputs, side, img_size=side, **sizes, **pooling)
    blocks: Any = network.blocks
    for block in blocks:
        block.attn.fused_attn = False  # for so few tokens torch's fused kernel trains at half the speed on a processor
    return network


def small_segmenter(outputs: int = _PIXEL_CLASSES, side: int = _SIDE) -> nn.Module:
    """A strided ResNet-10 with the head of LR-ASPP (Howard et al., ICCV 2019) on its second and its last stage.

    0.75 M parameters. Logits of every pixel as ``out`` of a mapping, as torchvision's segmenters give them.

    Args:
        outputs: number of classes.
        side: of the square images that its trunk is described for; it takes other sizes and shapes, too.
    """
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation.lraspp import LRASPP

    trunk: Any = strided_resnet(outputs, side)
    low, high = (trunk.get_submodule(stage)[-1].conv2.out_channels for stage in ("layer2", "layer4"))
    network: nn.Module = LRASPP(IntermediateLayerGetter(trunk, {"layer2": "low", "layer4": "high"}), low, high, outputs)
    return network


def small_detector(outputs: int = _PEOPLE, side: int = _SIDE) -> nn.Module:
    """FCOS (Tian et al., ICCV 2019) on a pyramid of the last two stages of a strided ResNet-10 and two more.

    Args:
        outputs: number of classes and one more, for class 0 is the background.
        side: to which the shorter side of an image is resized, unless the longer one came beyond 4/3 of it.
    """
    from torchvision.models.detection import FCOS
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    trunk: Any = strided_resnet(outputs, side)
    stages = {"layer3": "0", "layer4": "1"}
    channels = [trunk.get_submodule(stage)[-1].conv2.out_channels for stage in stages]
    pyramid = BackboneWithFPN(trunk, stages, channels, _PYRAMID, LastLevelP6P7(_PYRAMID, _PYRAMID))
    anchors = AnchorGenerator(tuple((8 * 2**level,) for level in range(4)), ((1.0,),) * 4)  # one at every stride
    sizes = {"min_size": side, "max_size": side * 4 // 3}
    network: nn.Module = FCOS(pyramid, outputs, **sizes, anchor_generator=anchors, score_thresh=0.01)
    return network


def _resnet(outputs: int, side: int, *, stride: int, **widths: Any) -> nn.Module:
    """With three 3x3 convolutions first, and no pooling after them."""
    network: Any = _timm_network("resnet18", outputs, side, layers=(1, 1, 1, 1), stem_type="deep", **widths)
    network.conv1[0].stride = (stride, stride)
    network.maxpool = nn.Identity()
    built: nn.Module = network
    return built


def _timm_network(name: str, outputs: int, side: int, **changes: Any) -> nn.Module:
    import timm

    size = {"input_size": (3, side, side), "crop_pct": 1.0}
    network: nn.Module = timm.create_model(name, num_classes=outputs, pretrained_cfg_overlay=size, **changes)
    return network
