"""How noisy is an image whose clean version nobody has? White, correlated and signal-dependent noise.

Levels are standard deviations on the scale of the images. Patches in which more than a tenth of the values are
exactly 0 or 1 are left out where others remain: clipping hides their noise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from noisewise.contracts import Images
from noisewise.errors import ArgumentError

__all__ = ["NoiseProfile", "fit_variance_line", "flat_spectra", "noise_profile", "white_noise_level"]

_PCA_PATCH, _BLOCK = 5, 8
_MOST_PATCHES, _LARGE = 2**16, 2**19  # more would cost time and add nothing
_LOWEST_RING = 2  # frequencies u + v below it belong to the picture even where it is flat
_BRIGHTNESS_BINS, _FLAT_SHARE, _FEWEST_FLAT = 10, 0.03, 8
_CLIPPED_SHARE = 0.1


class NoiseProfile(NamedTuple):
    """Noise that may be correlated and depend on the light; each field holds one value per image."""

    level: Float[Tensor, " batch"]
    """Standard deviation over the whole image."""
    correlation: Float[Tensor, " batch"]
    """Correlation of neighbouring pixels' noise, in [-1, 1]; 0 for white noise."""
    read: Float[Tensor, " batch"]
    """Standard deviation at black, the constant part of ``variance = read^2 + gain * mean``; >= 0."""
    gain: Float[Tensor, " batch"]
    """Growth of the variance with the light in the same equation; >= 0."""


def white_noise_level(images: Images) -> Float[Tensor, " batch"]:
    """Level of white noise, from the smallest eigenvalues of the covariance of 5 x 5 patches.

    Clean patches lie near a subspace, so the small eigenvalues are the noise's variance. They are found as the
    largest set of smallest eigenvalues whose mean does not exceed its median (Chen, Zhu and Heng, An Efficient
    Statistical Method for Image Noise Level Estimation, ICCV 2015, algorithm 1). Noise that is spatially correlated
    is underestimated, by far: see :func:`noise_profile`.

    Args:
        images: ``B x C x H x W``, floating; at least 32 x 32 pixels for a reliable figure.

    Returns:
        One standard deviation per image, on the scale of the images; 0 for constant ones.

    Raises:
        ArgumentError: not a floating batch of images.
    """
    _require_images(images)
    return torch.stack([_smallest_eigenvalues(image).mean().sqrt() for image in images.float()])


def noise_profile(images: Images) -> NoiseProfile:
    """Level, spatial correlation and dependence on the light, from the spectra of the flattest 8 x 8 blocks.

    Blocks are sorted by brightness into ten equal bins. In each, the noise's power at the DCT frequencies with odd
    ``u + v`` is the mean over the 3 % of blocks with the least power at even ``u + v``, and vice versa: the
    coefficients of noise are independent, so choosing by one half does not bias the other, while structure shows in
    both (after Ponomarenko et al., An Automatic Approach to Lossy Compression of AVIRIS Images, IGARSS 2007, who
    choose and measure by frequency range). The three lowest frequencies take the mean power of the next ring. A robust
    line through the bins gives the level and the dependence on the light.

    What a JPEG below about quality 90 quantised away in flat regions is not seen: there the level is that of the flat
    regions that were kept, half of the noise in textured ones at quality 75. Noise slower than the block is not seen
    either.

    Args:
        images: ``B x C x H x W``, floating; at least 64 x 64 pixels for a reliable figure.

    Returns:
        One value of each kind per image; all 0 for constant images and below 8 x 8 pixels.

    Raises:
        ArgumentError: not a floating batch of images.
    """
    _require_images(images)
    profiles = [_profile(image) for image in images.float()]
    return NoiseProfile(*(torch.stack(values) for values in zip(*profiles, strict=True)))


def fit_variance_line(
    means: Float[Tensor, " points"], variances: Float[Tensor, " points"], *, iterations: int = 10
) -> tuple[Tensor, Tensor, Tensor]:
    """Robust line ``variance = intercept + slope * mean`` along the lower envelope of the points.

    Iteratively reweighted least squares: a sample variance scatters in proportion to itself, hence the weight
    ``1 / fit^2``; picture left in a point only raises it, hence the Cauchy weight ``1 / (1 + (e / 0.1)^2)`` of a
    positive relative excess e.

    Args:
        means: brightness of each point.
        variances: noise variance there, >= 0.
        iterations: rounds of reweighting.

    Returns:
        Intercept, slope (either may be negative) and the final weights, which sum to 1.
    """
    floor = variances.min() / 4 + torch.finfo(variances.dtype).tiny ** 0.5
    weights = 1 / (variances + floor) ** 2
    for _ in range(iterations):
        weights = weights / weights.sum()
        intercept, slope = _weighted_line(means, variances, weights)
        line = (intercept + slope * means).clamp_min(floor)
        excess = (variances / line - 1).clamp_min(0)
        weights = 1 / (line**2 * (1 + (excess / 0.1) ** 2))
    return intercept, slope, weights / weights.sum()


def flat_spectra(
    image: Float[Tensor, "channels height width"], clipped: Bool[Tensor, "_ height width"] | None = None
) -> tuple[Float[Tensor, " bins"], Float[Tensor, "bins 8 8"]]:
    """Mean brightness of each bin of blocks, and power of the noise at every DCT frequency in its flattest blocks.

    Args:
        image: floating, at least 8 x 8 pixels; the power is the mean of its channels.
        clipped: where noise is hidden; where the image is exactly 0 or 1 if None.
    """
    channels = image.shape[0]
    stride = 5 if image[0].numel() < _LARGE else 9  # coprime to 8: blocks meet a JPEG grid in every phase
    blocks = _blocks(image, stride)
    clipped = (image == 0) | (image == 1) if clipped is None else clipped
    blocks = _unclipped(blocks, _blocks(clipped.to(image), stride).mean(1))
    bins = max(1, min(_BRIGHTNESS_BINS, len(blocks) // 50))
    brightness, order = blocks.mean(1).sort()
    size = len(blocks) // bins
    basis = _dct_basis(image)
    power = (basis @ blocks.view(-1, channels, _BLOCK, _BLOCK) @ basis.T).square().mean(1)
    spectra = _cross_selected(power[order[: bins * size]].view(bins, size, _BLOCK, _BLOCK))
    return brightness[: bins * size].view(bins, size).mean(1), spectra


def _weighted_line(x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    centre, height = (weights * x).sum(), (weights * y).sum()
    spread = (weights * (x - centre) ** 2).sum()
    slope: Tensor = (weights * (x - centre) * (y - height)).sum() / (spread + 1e-9)
    return height - slope * centre, slope


def _smallest_eigenvalues(image: Tensor) -> Tensor:
    size = min(_PCA_PATCH, *image.shape[-2:])
    stride = math.ceil(math.sqrt(image[0].numel() / _MOST_PATCHES))
    patches = F.unfold(image[None], size, stride=stride)[0].T
    patches = _unclipped(patches, ((patches == 0) | (patches == 1)).mean(1, dtype=torch.float32))
    centred = patches - patches.mean(0)
    covariance = (centred.T @ centred / len(centred)).double().cpu()
    eigenvalues: Tensor = torch.linalg.eigvalsh(covariance).clamp_min(0).to(image)
    count = torch.arange(1, len(eigenvalues) + 1, device=image.device)
    means, medians = eigenvalues.cumsum(0) / count, eigenvalues[(count - 1) // 2]
    return eigenvalues[: int((means <= medians).nonzero().max()) + 1]


def _profile(image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if min(image.shape[-2:]) < _BLOCK:
        zero = image.new_zeros(())
        return zero, zero, zero, zero
    means, spectra = flat_spectra(image)
    variances = spectra.mean((1, 2))
    intercept, slope, weights = fit_variance_line(means, variances)
    level = (intercept + slope * means).clamp_min(0).mean().sqrt()
    correlation = _lag1_of_spectrum((weights[:, None, None] * spectra).sum(0))
    read, gain = _physical_line(means, variances, weights, intercept, slope)
    return level, correlation, read, gain


def _physical_line(x: Tensor, y: Tensor, weights: Tensor, intercept: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Read level and gain: the line, or the best one with slope or intercept zero where it would be negative."""
    if slope < 0:
        return (weights * y).sum().sqrt(), torch.zeros_like(slope)
    if intercept < 0:
        return torch.zeros_like(slope), (weights * x * y).sum() / (weights * x * x).sum()
    return intercept.sqrt(), slope


def _cross_selected(power: Tensor) -> Tensor:
    """Mean power of the flattest blocks, judged at the other frequencies: ``K x N x 8 x 8`` to ``K x 8 x 8``."""
    index = torch.arange(_BLOCK, device=power.device)
    ring = index[:, None] + index
    count = min(power.shape[1], max(_FEWEST_FLAT, int(_FLAT_SHARE * power.shape[1])))
    spectra = torch.zeros_like(power[:, 0])
    for parity in (0, 1):
        judged = (ring % 2 == parity) & (ring >= _LOWEST_RING)
        flattest = power[..., judged].sum(-1).topk(count, dim=1, largest=False).indices
        chosen = power.gather(1, flattest[..., None, None].expand(-1, -1, _BLOCK, _BLOCK)).mean(1)
        spectra[:, ring % 2 != parity] = chosen[:, ring % 2 != parity]
    spectra[:, ring < _LOWEST_RING] = spectra[:, ring == _LOWEST_RING].mean(1, keepdim=True)
    return spectra


def _dct_basis(like: Tensor) -> Tensor:
    """Orthonormal DCT-II of 8 points, one basis vector per row."""
    index = torch.arange(_BLOCK, device=like.device, dtype=like.dtype)
    basis = torch.cos(math.pi / _BLOCK * (index + 0.5) * index[:, None]) * math.sqrt(2 / _BLOCK)
    basis[0] /= math.sqrt(2)
    return basis


def _lag1_of_spectrum(spectrum: Tensor) -> Tensor:
    """Mean correlation of horizontal and vertical neighbours in blocks of independent DCT coefficients."""
    basis = _dct_basis(spectrum)
    neighbours = (basis[:, :-1] * basis[:, 1:]).sum(1) * _BLOCK / (_BLOCK - 1)
    both = (spectrum.mean(0) + spectrum.mean(1)) / 2
    return (both * neighbours).sum() / both.sum().clamp_min(1e-9)  # rounding errors are not noise


def _blocks(planes: Tensor, stride: int) -> Tensor:
    return F.unfold(planes[None], _BLOCK, stride=stride)[0].T


def _unclipped(patches: Tensor, clipped: Tensor) -> Tensor:
    """The rows of ``N x D`` of which at most a tenth is clipped; all rows where fewer than 50 would remain."""
    kept = patches[clipped <= _CLIPPED_SHARE]
    return kept if len(kept) >= 50 else patches


def _require_images(images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point() or images.numel() == 0:
        raise ArgumentError(
            f"expected a floating tensor B x C x H x W with pixels, got {tuple(images.shape)} of {images.dtype}; "
            "add the batch axis with image[None] and divide integers by their maximum"
        )
