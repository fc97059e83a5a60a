"""How alike images look to networks: LPIPS, Frechet distance and Inception score, with weights that the user has.

Nothing is downloaded. Sources: Zhang et al., CVPR 2018; Heusel et al., NeurIPS 2017; Salimans et al., NeurIPS 2016.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.errors import ArgumentError, WeightsError

__all__ = ["Backbone", "frechet_distance", "inception_score", "lpips"]

Backbone = Literal["alex", "vgg", "squeeze"]

_WEIGHTS = {"alex": "AlexNet_Weights", "vgg": "VGG16_Weights", "squeeze": "SqueezeNet1_1_Weights"}
_LEAST_SIDE = 64


def lpips(estimate: Images, truth: Images, *, backbone: Backbone = "alex") -> Float[Tensor, " batch"]:
    """Learned perceptual distance of each image, 0 where both are the same.

    Args:
        estimate: ``B x 3 x H x W``, clipped to [0, 1]; H and W at least 64.
        truth: the same shape.
        backbone: whose torchvision weights lie in ``torch.hub``'s folder.

    Raises:
        ArgumentError: other shapes, or no such backbone.
        WeightsError: the weights are not there; the message says which file to put where.
    """
    if estimate.shape != truth.shape or estimate.ndim != 4 or estimate.shape[1] != 3:
        came = f"{tuple(estimate.shape)} and {tuple(truth.shape)}"
        raise ArgumentError(f"expected two batches B x 3 x H x W of the same shape, got {came}; repeat a grey channel")
    if min(truth.shape[-2:]) < _LEAST_SIDE:
        raise ArgumentError(f"expected images of at least 64 x 64 pixels, got {tuple(truth.shape[-2:])}; use ssim")
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    _require_backbone(backbone)
    distances: Tensor = learned_perceptual_image_patch_similarity(
        estimate.clamp(0, 1), truth.clamp(0, 1), net_type=backbone, reduction=None, normalize=True
    )
    return distances.flatten()


def frechet_distance(
    first: Float[Tensor, "images features"], second: Float[Tensor, "others features"]
) -> Float[Tensor, ""]:
    """``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of the means and covariances of two sets of features.

    With features of an Inception network this is FID. Those of a CLIP encoder judge photographs better
    (Kynkaanniemi et al., ICLR 2023); :func:`noisewise.models.load_clip` gives one.

    Args:
        first: of one set of images, at least two.
        second: of the other.

    Raises:
        ArgumentError: too few images, or features of different kinds.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        came = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ArgumentError(f"expected features N x D and M x D of at least two images each, got {came}")
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Ready(first.shape[1])).set_dtype(torch.float64).to(first.device)
    metric.update(first.double(), real=True)
    metric.update(second.double(), real=False)
    return cast("Tensor", metric.compute())


def inception_score(scores: Float[Tensor, "images classes"]) -> Float[Tensor, ""]:
    """``exp E KL(p(class | image) || p(class))``, from 1 to the number of classes; higher is called better.

    Args:
        scores: logits of a classifier of the user's, for all images.

    Raises:
        ArgumentError: not a matrix with a row for each image.
    """
    if scores.ndim != 2 or len(scores) < 1:
        raise ArgumentError(f"expected logits N x classes, got {tuple(scores.shape)}; ask the classifier for a batch")
    probabilities, logs = scores.double().softmax(1), scores.double().log_softmax(1)
    mean_log = logs.logsumexp(0) - math.log(len(scores))
    return (probabilities * (logs - mean_log)).sum(1).mean().exp().to(scores)


class _Ready(nn.Module):
    """Stands where torchmetrics expects an encoder, for features that have been computed."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.num_features = count

    def forward(self, features: Tensor) -> Tensor:
        return features


def _require_backbone(name: str) -> None:
    import torchvision

    if name not in _WEIGHTS:
        raise ArgumentError(f"expected a backbone from {', '.join(_WEIGHTS)}, got {name!r}")
    weights: Any = getattr(torchvision.models, _WEIGHTS[name]).DEFAULT
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if not path.is_file():
        raise WeightsError(f"expected the weights of {name} at {path}, found none; put the file of that name there")
