"""NRL: two encoders, one for what an image shows and one for its noise, and a decoder that reads both.

Source: thesis, chapters on NRL and its experiments; Lin et al., MeD, ICCV 2023.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.models.unet import finest_scale

__all__ = ["Disentangling", "Joining", "PrunedNetwork", "Reconstructions", "disentangling_loss"]

Joining = Literal["concatenate", "add"]
Features = list[Tensor]


class Disentangling(nn.Module):
    """An encoder-decoder with a second encoder of the same kind, for the noise.

    Args:
        network: an :class:`noisewise.contracts.EncoderDecoder`, with the encoder of the content and the only decoder.
        noise_network: another one, whose encoder alone is used.
        widths: channels of the features of each level, finest first.
        joining: how the decoder reads both: channels of one beside those of the other, through a 1x1 convolution, or
            their sum.
    """

    def __init__(
        self, network: nn.Module, noise_network: nn.Module, widths: Sequence[int], joining: Joining = "concatenate"
    ) -> None:
        super().__init__()
        if joining not in get_args(Joining):
            raise ArgumentError(f"expected joining from {get_args(Joining)}, got {joining!r}")
        self.network: Any = network
        self.noise_network: Any = noise_network
        kernels = widths if joining == "concatenate" else ()
        self.joints = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in kernels)

    def content(self, images: Images) -> Features:
        """What the images show, level by level."""
        features: Features = self.network.encode(images)
        return features

    def noise(self, images: Images) -> Features:
        """What disturbs them."""
        features: Features = self.noise_network.encode(images)
        return features

    def decode(self, content: Features, noise: Features | None = None) -> Images:
        """The image of some content, with the noise of some other image or, without one, clean."""
        return self.scales(content, noise)[0]

    def scales(self, content: Features, noise: Features | None = None) -> Features:
        """All that the decoder gives: the image, and after it its features, or images, of coarser levels."""
        levels: Features = self.network.decode(self._joined(content, noise))
        return levels

    def forward(self, images: Images) -> Images:
        """The images without their noise."""
        return self.decode(self.content(images))

    def pruned(self) -> nn.Module:
        """A plain encoder-decoder that does what this one does without noise, and has no weights for it."""
        halves = [_first_half(joint) for joint in self.joints if isinstance(joint, nn.Conv2d)]
        network = copy.deepcopy(self.network)
        return PrunedNetwork(network, halves) if halves else network

    def _joined(self, content: Features, noise: Features | None) -> Features:
        others = noise if noise is not None else [torch.zeros_like(level) for level in content]
        if not self.joints:
            return [first + second for first, second in zip(content, others, strict=True)]
        pairs = zip(self.joints, content, others, strict=True)
        return [joint(torch.cat([first, second], dim=1)) for joint, first, second in pairs]


class PrunedNetwork(nn.Module):
    """An encoder-decoder with a 1x1 convolution at the end of each level of its encoder."""

    def __init__(self, network: nn.Module, joints: Sequence[nn.Module]) -> None:
        super().__init__()
        self.network: Any = network
        self.joints = nn.ModuleList(joints)

    def encode(self, images: Images) -> Features:
        """Features of every level, finest first."""
        return [joint(level) for joint, level in zip(self.joints, self.network.encode(images), strict=True)]

    def decode(self, features: Sequence[Tensor]) -> Features:
        """The image, and after it the decoder's features of each coarser level."""
        levels: Features = self.network.decode(features)
        return levels

    def forward(self, images: Images) -> Images:
        """The images without their noise, ``B x C x H x W`` of any size."""
        return finest_scale(self, images, len(self.joints))


class Reconstructions(NamedTuple):
    """What two views of one scene give, with what decides the loss."""

    clean: tuple[Images, Images]
    """Of the content of either view alone."""
    crossed: tuple[Images, Images]
    """Each view, made of the content of the other and the noise of its own."""
    contents: tuple[Features, Features]
    noises: tuple[Features, Features]
    coarse: tuple[Features, Features]
    """What the decoder gives of the content of either view at coarser levels."""

    @classmethod
    def of(cls, model: Disentangling, first: Images, second: Images) -> Reconstructions:
        """From two views of the same scenes under two draws of noise."""
        contents = p, q = model.content(first), model.content(second)
        noises = model.noise(first), model.noise(second)
        crossed = model.decode(q, noises[0]), model.decode(p, noises[1])
        (ours, *our_coarse), (theirs, *their_coarse) = model.scales(p), model.scales(q)
        return cls((ours, theirs), crossed, contents, noises, (our_coarse, their_coarse))


def disentangling_loss(
    found: Reconstructions,
    views: tuple[Images, Images],
    targets: tuple[Images, Images],
    *,
    alignment: float = 0.1,
    distance: Callable[[Images, Images], Tensor] = F.l1_loss,
) -> Float[Tensor, ""]:
    """``d(X^, T) + d(Y^, Y) + gamma (1 - cos(z_p, z_q))``, the mean of both views.

    Args:
        found: of both views.
        views: the noisy images Y.
        targets: T of either view. The clean image for both makes this supervised; where there is none, it is the other
            view, whose noise is independent (Noise2Noise).
        alignment: gamma. Features are normalised in this term alone.
        distance: d.
    """
    pairs = [*zip(found.clean, targets, strict=True), *zip(found.crossed, views, strict=True)]
    distances = [distance(estimate, truth) for estimate, truth in pairs]
    return torch.stack(distances).sum() / 2 + alignment * _misalignment(*found.contents)


def _misalignment(first: Features, second: Features) -> Tensor:
    """``1 - cos`` of the features of an image, mean over images and levels."""
    levels = zip(first, second, strict=True)
    cosines = [F.cosine_similarity(a.flatten(1).float(), b.flatten(1).float()).mean() for a, b in levels]
    return 1 - torch.stack(cosines).mean()


def _first_half(joint: nn.Conv2d) -> nn.Conv2d:
    """The part of a 1x1 convolution that reads the content."""
    width = joint.out_channels
    half = nn.Conv2d(width, width, 1)
    half.load_state_dict({"weight": joint.get_parameter("weight")[:, :width], "bias": joint.get_parameter("bias")})
    return half.to(joint.weight)
