"""ZS-N2N: two halves of an image, made of different pixels, teach a tiny network to tell its noise.

Source: Mansour and Heckel, Zero-Shot Noise2Noise, CVPR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.methods.single_image.learner import LEARNERS, Learner
from noisewise.methods.single_image.observed import Observed

__all__ = ["ZeroShotNoise2Noise", "halves"]

Half = Float[Tensor, "batch channels _ _"]

_WIDTH, _SLOPE = 48, 0.2


@LEARNERS.register("zero_shot_n2n")
@dataclass(frozen=True)
class ZeroShotNoise2Noise(Learner):
    """Two layers of 3 x 3 and one of 1 x 1 learn the noise.

    White noise is taken for granted: of neighbours with the same noise it would be learnt as if it were scene. A
    network to start from has to tell the noise, not the image.
    """

    steps: ClassVar[int] = 2000

    def build(self, channels: int) -> nn.Module:
        """The network of the paper."""
        return nn.Sequential(
            nn.Conv2d(channels, _WIDTH, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(_WIDTH, channels, 1),
        )

    def loss(self, network: nn.Module, observed: Observed, generator: torch.Generator) -> Tensor:
        """Each half without its noise is to be the other half, and the half of the whole image without its noise."""
        first, second = halves(observed.visible)
        kept = F.max_pool2d(1 - observed.kept, 2) == 0  # no cell with a pixel that is held out
        ours, theirs = first - network(first), second - network(second)
        whole_first, whole_second = halves(observed.visible - network(observed.visible))
        distances = (ours - second, theirs - first, ours - whole_first, theirs - whole_second)
        weight = 2 * kept.sum() * first.shape[1]
        return torch.stack([(d.square() * kept).sum() / weight for d in distances]).sum()

    def estimate(self, network: nn.Module, noisy: Images, generator: torch.Generator, passes: int) -> Images:
        """The image without its noise."""
        image: Images = noisy - network(noisy)
        return image


def halves(images: Images) -> tuple[Half, Half]:
    """Means of either diagonal of every 2 x 2 cell, ``B x C x H/2 x W/2`` each; an odd last row or column is cut."""
    main, other = (images.new_tensor(rows).div(2) for rows in ([[0, 1], [1, 0]], [[1, 0], [0, 1]]))
    kernels = torch.stack([main, other])[:, None].repeat(images.shape[1], 1, 1, 1)
    both = F.conv2d(images, kernels, stride=2, groups=images.shape[1])
    return both[:, 0::2], both[:, 1::2]
