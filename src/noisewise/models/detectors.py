"""Detectors with a Swin Transformer V2 and a feature pyramid, put together from torchvision's parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from noisewise._registry import Registry
from noisewise.contracts import Images

__all__ = [
    "COCO_CLASSES",
    "DETECTORS",
    "SwinSize",
    "SwinStages",
    "fasterrcnn_swin_v2_fpn",
    "maskrcnn_swin_v2_fpn",
    "swin_v2_fpn",
]

SwinSize = Literal["t", "s", "b"]
"""Tiny, small and base."""

COCO_CLASSES = 91
"""Of COCO with its gaps and the background, as torchvision's detectors count."""

_PYRAMID = 256  # channels, as in the paper
_STAGES = {"1": "0", "3": "1", "5": "2", "7": "3"}  # by place among the features; between them are the mergings


def maskrcnn_swin_v2_fpn(size: SwinSize = "t", num_classes: int = COCO_CLASSES, **options: Any) -> nn.Module:
    """Mask R-CNN (He et al., ICCV 2017) with random weights; takes and gives what torchvision's does.

    48, 69 and 107 M parameters. Images ``3 x H x W`` in [0, 1] of any sizes; it resizes and normalises them by itself.

    Args:
        size: of the Swin Transformer V2.
        num_classes: with the background, which is class 0.
        options: of :class:`torchvision.models.detection.MaskRCNN`, such as ``min_size``.
    """
    from torchvision.models.detection import MaskRCNN

    network: nn.Module = MaskRCNN(swin_v2_fpn(size), num_classes, **options)
    return network


def fasterrcnn_swin_v2_fpn(size: SwinSize = "t", num_classes: int = COCO_CLASSES, **options: Any) -> nn.Module:
    """Faster R-CNN (Ren et al., NeurIPS 2015); as :func:`maskrcnn_swin_v2_fpn`, without masks."""
    from torchvision.models.detection import FasterRCNN

    network: nn.Module = FasterRCNN(swin_v2_fpn(size), num_classes, **options)
    return network


def swin_v2_fpn(size: SwinSize = "t") -> nn.Module:
    """Images to a feature pyramid (Lin et al., CVPR 2017) on all stages of a Swin Transformer V2.

    Takes ``B x 3 x H x W``, normalised, of any size from 4 pixels; gives maps of 256 channels by name, ``0`` to ``3``
    at strides 4, 8, 16 and 32, and ``pool`` at 64.

    Args:
        size: of the Swin Transformer V2.
    """
    from torchvision import models
    from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

    body = SwinStages(models.get_model(f"swin_v2_{size}", weights=None))
    pyramid: Any = nn.Sequential()
    pyramid.add_module("body", body)
    pyramid.add_module("fpn", FeaturePyramidNetwork(body.channels, _PYRAMID, LastLevelMaxPool()))
    pyramid.out_channels = _PYRAMID
    network: nn.Module = pyramid
    return network


class SwinStages(nn.Module):
    """The maps of the four stages of a Swin Transformer V2 (Liu et al., CVPR 2022), each behind a layer normalisation.

    The keys of its features are those of torchvision's classifier, whose weights it takes by
    ``load_state_dict(state, strict=False)``.

    Attributes:
        channels: of each map.

    Args:
        classifier: of torchvision, whose features become those of this module.
    """

    def __init__(self, classifier: Any) -> None:
        from torchvision.models._utils import IntermediateLayerGetter
        from torchvision.ops import Permute

        super().__init__()
        self.features = IntermediateLayerGetter(classifier.features, _STAGES)
        self.channels: list[int] = [classifier.head.in_features >> stage for stage in (3, 2, 1, 0)]
        self.outputs = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), Permute([0, 3, 1, 2])) for width in self.channels
        )

    def forward(self, images: Images) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """Maps ``B x C x H/s x W/s`` by name, ``0`` to ``3`` at strides s of 4, 8, 16 and 32.

        Args:
            images: ``B x 3 x H x W``, normalised.
        """
        maps = self.features(images)
        return {name: output(maps[name]) for name, output in zip(maps, self.outputs, strict=True)}


DETECTORS: Registry[Callable[..., nn.Module]] = Registry("network of noisewise")
"""Builders by names in the manner of torchvision's; each takes ``num_classes``."""

for _size in get_args(SwinSize):
    DETECTORS.register(f"maskrcnn_swin_v2_{_size}_fpn")(partial(maskrcnn_swin_v2_fpn, _size))
    DETECTORS.register(f"fasterrcnn_swin_v2_{_size}_fpn")(partial(fasterrcnn_swin_v2_fpn, _size))
