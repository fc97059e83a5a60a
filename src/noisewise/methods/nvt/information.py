"""MIO: critics that make content and noise say what they should of an image, and nothing of each other.

Source: thesis, section on MIO; Hjelm et al., ICLR 2019, for the Jensen-Shannon bound.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.measure.information import Critic, jensen_shannon
from noisewise.train.reversal import reverse_gradient

__all__ = ["InformationBounds", "InformationCritics"]

_SIDE = 8


class InformationBounds(NamedTuple):
    """Jensen-Shannon bounds, each ``E_P[-softplus(-T)] - E_PP[softplus(T)]``."""

    image_content: Float[Tensor, ""]
    """Of the clean image, or the other view of it, and the content."""
    view_both: Float[Tensor, ""]
    """Of the noisy image, and content and noise together."""
    content_noise: Float[Tensor, ""]
    """Of content and noise, which should say nothing of each other."""

    @property
    def encoder_loss(self) -> Float[Tensor, ""]:
        """What encoders minimise against fixed critics: ``-I(X; z) - I(Y; z + w) + I(z; w)``."""
        return self.content_noise - self.image_content - self.view_both

    @property
    def critic_loss(self) -> Float[Tensor, ""]:
        """What critics minimise for fixed features: all three bounds are to be tight."""
        return -self.image_content - self.view_both - self.content_noise


class InformationCritics(nn.Module):
    """Three critics of pairs; the products of the marginals are the other images of the batch.

    They see normalised features: information does not depend on scale, but a bound that encoders make small has no
    lower end, and without it they do so by features that grow for ever.

    Args:
        channels: of the images.
        content: channels of the deepest features of the content.
        noise: channels of the deepest features of the noise.
    """

    def __init__(self, channels: int, content: int, noise: int) -> None:
        super().__init__()
        pixels = channels * _SIDE**2
        self.image_content = Critic(pixels, content)
        self.view_both = Critic(pixels, content + noise)
        self.content_noise = Critic(content, noise)

    def forward(
        self, image: Images, view: Images, content: Tensor, noise: Tensor, *, reversal: float | None = None
    ) -> InformationBounds:
        """The bounds of a batch of at least two images.

        Args:
            image: clean, or another view of the same scene.
            view: the noisy images that were encoded.
            content: their deepest features, ``B x C x H x W``.
            noise: likewise.
            reversal: turn the gradient of the third bound round at the features with this strength, so that one step
                on ``critic_loss`` trains critics and encoders; None to alternate between both losses.
        """
        z, w = (F.layer_norm(level.mean((2, 3)), level.shape[1:2]) for level in (content, noise))
        both = F.pad(z, (0, w.shape[1])) + F.pad(w, (z.shape[1], 0))
        opposed = (z, w) if reversal is None else (reverse_gradient(z, reversal), reverse_gradient(w, reversal))
        return InformationBounds(
            jensen_shannon(self.image_content(_coarse(image), z)),
            jensen_shannon(self.view_both(_coarse(view), both)),
            jensen_shannon(self.content_noise(*opposed)),
        )


def _coarse(images: Images) -> Tensor:
    return F.adaptive_avg_pool2d(images, _SIDE).flatten(1)
