"""Networks of torchvision and transformers, hardened: whether the weights hold what branches do, and what it costs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from conditions import HARDENED_WITH
from noisewise._rng import initialised
from noisewise.measure.latency import latency_ratio
from noisewise.methods.denoiserep import attach

__all__ = ["hardening_cells"]

SIDE, IMAGES = 128, 16
FOLDED_AT = 300
"""Diffusion step of the branches: far enough for each to change its layer."""


def mask_rcnn() -> nn.Module:
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=SIDE, max_size=SIDE)


def segformer() -> nn.Module:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    return SegformerForSemanticSegmentation(SegformerConfig(num_labels=19))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"maskrcnn_resnet50_fpn": mask_rcnn, "segformer": segformer}
"""At their usual widths, with random weights."""


def hardening_cells(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    images = torch.rand(2 if quick else IMAGES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return {name: hardened_cell(initialised(build, 0).eval(), images, quick) for name, build in NETWORKS.items()}


@torch.no_grad()
def hardened_cell(network: nn.Module, images: Tensor, quick: bool) -> dict[str, Any]:
    """Layers changed by pairs and what that costs; and how exactly branches beside layers fold into them."""
    handle = attach(network, mode="paired")
    handle.fit_paired(images, HARDENED_WITH)
    ratio = latency_ratio(handle.fuse(), network, images[:2], rounds=6 if quick else 30)
    changed = sum(not row.status.startswith("left") for row in handle.table())
    folded = {f"fusion_error_{bits}": folding_error(network, images, bits) for bits in ("fp32", "fp64")}
    return folded | {"layers": changed, "latency_ratio": ratio._asdict()}


def folding_error(network: nn.Module, images: Tensor, bits: str) -> float:
    """Greatest relative difference of any output between DenoiseRep's branches and the weights that hold them.

    Of the backbone and the pyramid of a detector: what it finds there is chosen by comparisons, which no rounding
    survives for certain.
    """
    dtype = {"fp32": torch.float32, "fp64": torch.float64}[bits]
    part = copy.deepcopy(getattr(network, "backbone", network)).to(dtype)
    handle = attach(part, mode="ddpm", t=FOLDED_AT).fit([images.to(dtype)])
    pairs = zip(floating(handle(images.to(dtype))), floating(handle.fuse()(images.to(dtype))), strict=True)
    return max(float((one - two).abs().max() / one.abs().max()) for one, two in pairs)


def floating(output: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
