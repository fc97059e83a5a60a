"""Self2Self: a network with dropout fills in pixels that a coin hid, and many such fillings are averaged.

Source: Quan, Chen, Pang and Ji, CVPR 2020. Here hidden pixels are zero and visible ones scaled up, as dropout does it,
in the place of partial convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.methods.nvt.pyramid import Pyramid, pyramid_loss
from noisewise.methods.single_image.learner import LEARNERS, Learner
from noisewise.methods.single_image.observed import Observed, random_mask
from noisewise.noise import functional as N

__all__ = ["Self2Self"]

_STRIDE = 16


@LEARNERS.register("self2self")
@dataclass(frozen=True)
class Self2Self(Learner):
    """Bernoulli-masked input, dropout between encoder and decoder; a :class:`Pyramid` answers at every scale.

    Attributes:
        drop: share of the pixels that a step hides, all channels of each.
        feature_drop: share of the encoder's features that do not reach the decoder.
    """

    steps: ClassVar[int] = 1500
    passes: ClassVar[int] = 40

    drop: float = 0.3
    feature_drop: float = 0.3

    def __post_init__(self) -> None:
        if not (0 < self.drop < 1 and 0 <= self.feature_drop < 1):
            raise ArgumentError(f"expected 0 < drop < 1 and 0 <= feature_drop < 1, got {self}")

    def require(self, network: nn.Module) -> None:
        """Fails unless dropout finds its place between an encoder and a decoder."""
        super().require(network)
        if not (hasattr(network, "encode") and hasattr(network, "decode")):
            came = type(network).__name__
            raise ArgumentError(f"expected a network with encode and decode, such as models.unet.UNet, got {came}")

    def loss(self, network: nn.Module, observed: Observed, generator: torch.Generator) -> Tensor:
        """``sum (1 - b) (f(b y) - y)^2 / sum (1 - b)``, at each of its scales for a :class:`Pyramid`."""
        shown = random_mask(observed.noisy, 1 - self.drop, generator)
        scales = self._answers(network, observed.visible * shown / (1 - self.drop), generator)
        judged = _padded((1 - shown) * observed.kept, mode="constant")
        return pyramid_loss(scales if isinstance(network, Pyramid) else scales[:1], _padded(observed.noisy), judged)

    def estimate(self, network: nn.Module, noisy: Images, generator: torch.Generator, passes: int) -> Images:
        """The mean of the answers to as many masks."""
        total = torch.zeros_like(noisy)
        for _ in range(passes):
            shown = random_mask(noisy, 1 - self.drop, generator)
            image = self._answers(network, noisy * shown / (1 - self.drop), generator)[0]
            total += image[..., : noisy.shape[-2], : noisy.shape[-1]]
        return total / passes

    def _answers(self, network: Any, images: Images, generator: torch.Generator) -> list[Tensor]:
        """The decoder's outputs for the padded images."""
        features = network.encode(_padded(images))
        scales: list[Tensor] = network.decode([self._dropped(level, generator) for level in features])
        return scales

    def _dropped(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Dropout whose draws come from the generator."""
        keep = 1 - self.feature_drop
        return features * (N.uniform(features.shape, features, generator) < keep) / keep


def _padded(images: Tensor, mode: str = "replicate") -> Tensor:
    """To sides that networks of up to five levels can halve."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % _STRIDE, 0, -height % _STRIDE), mode=mode)
