"""UEFP: an unsharp mask behind a denoiser, whose width and amount are chosen without a reference.

The mask is linear in the denoised image, so Stein's estimate of the error is a parabola in the amount, and its least
point is a closed form. Source: thesis, section on UEFP; Stein, Annals of Statistics 1981; Ramani, Blu and Unser, IEEE
TIP 2008, for the divergence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.noise import functional as N

__all__ = ["UnsharpChoice", "UnsharpMask", "choose_unsharp_mask"]

_LUMA = (0.299, 0.587, 0.114)
"""Of ITU-R BT.601."""
_TRUNCATE = 4.0
_PROBE = 1e-3


@dataclass(frozen=True)
class UnsharpMask:
    """``x + amount (l - G * l)``, l the luma of x and G a Gaussian whose weights sum to one.

    A Laplacian of a Gaussian in the place of ``G`` has no mean and would darken the image.

    Attributes:
        width: standard deviation of the Gaussian in pixels, above 0.
        amount: below 0 it softens.
    """

    width: float
    amount: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ArgumentError(f"expected a width above 0 pixels, got {self.width}")

    def __call__(self, images: Images) -> Images:
        """The sharpened images, not clipped; ``B x 3 x H x W`` or ``B x 1 x H x W``."""
        return images + self.amount * luma_detail(images, self.width)


class UnsharpChoice(NamedTuple):
    """What was chosen for one image."""

    mask: UnsharpMask
    gain: float
    """How much of the mean squared error it is expected to remove; never below 0."""


def luma_detail(images: Images, width: float) -> Images:
    """``l - G * l`` of the luma, the same for every channel."""
    from torchvision.transforms.v2.functional import gaussian_blur  # takes seconds to import

    weights = images.new_tensor(_LUMA if images.shape[1] == 3 else [1.0] * images.shape[1])
    luma = (images * weights.view(1, -1, 1, 1)).sum(1, keepdim=True) / weights.sum()
    radius = min(max(1, round(_TRUNCATE * width)), min(images.shape[-2:]) - 1)
    blurred: Tensor = gaussian_blur(luma, [2 * radius + 1] * 2, [width] * 2)
    return (luma - blurred).expand_as(images)


def choose_unsharp_mask(
    noisy: Images,
    denoise: Callable[[Images], Images],
    sigma: float,
    *,
    widths: Sequence[float] = (0.6, 1.0, 1.5, 2.5),
    generator: torch.Generator,
) -> UnsharpChoice:
    """The mask with the least expected error behind ``denoise``, from two of its calls.

    With ``u = f(y)``, ``v = (I - G) u`` on luma, and for a random ``b`` of independent unit normals the derivative
    ``d = (f(y + e b) - f(y)) / e``, Stein's unbiased estimate of the error of ``u + a v`` is
    ``<(u + a v - y)^2> - sigma^2 + 2 sigma^2 <b (d + a (I - G) d)>``. It is least at
    ``a = -(<(u - y) v> + sigma^2 <b (I - G) d>) / <v^2>``, which may be negative.

    Args:
        noisy: one image ``1 x C x H x W``, or a batch that shall have one mask, with Gaussian noise that was not
            clipped; where values were cut off, the estimate does not hold.
        denoise: any denoiser; its own randomness, if any, must be the same in both calls.
        sigma: standard deviation of the noise, [0, 1] scale.
        widths: of the Gaussians to choose from, in pixels.
        generator: of ``b``.

    Raises:
        ArgumentError: no width, or sigma not above 0.
    """
    if not widths or not sigma > 0:
        raise ArgumentError(f"expected sigma above 0 and at least one width, got {sigma} and {tuple(widths)}")
    probe = N.standard_normal(noisy.shape, noisy, generator)
    with torch.no_grad():
        denoised = denoise(noisy)
        derivative = (denoise(noisy + _PROBE * probe) - denoised) / _PROBE
    choices = (_best_amount(noisy, denoised, probe, derivative, sigma, width) for width in widths)
    return max(choices, key=lambda choice: choice.gain)


def _best_amount(
    noisy: Images, denoised: Images, probe: Images, derivative: Images, sigma: float, width: float
) -> UnsharpChoice:
    detail, spread = luma_detail(denoised, width), luma_detail(derivative, width)
    slope = float(((denoised - noisy) * detail).double().mean() + sigma**2 * (probe * spread).double().mean())
    curvature = float(detail.double().square().mean())
    if curvature == 0:
        return UnsharpChoice(UnsharpMask(width, 0.0), 0.0)
    return UnsharpChoice(UnsharpMask(width, -slope / curvature), slope**2 / curvature)
