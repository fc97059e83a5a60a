"""Fidelity of an estimate to the truth, one number per image of a batch."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from noisewise.contracts import Images
from noisewise.errors import ArgumentError

__all__ = ["ms_ssim", "psnr", "ssim"]

_SSIM_WINDOW = 11
_SCALES = 5


def psnr(estimate: Images, truth: Images, *, clip: bool = True) -> Float[Tensor, " batch"]:
    """Peak signal-to-noise ratio ``10 log10(1 / MSE)`` in decibels, over all pixels and channels of each image.

    Args:
        estimate: ``B x C x H x W``, floating, nominally in [0, 1].
        truth: the same shape, in [0, 1].
        clip: whether the estimate is clipped to [0, 1] first, as a file would be; most published tables do.

    Returns:
        One value per image; infinite where the two agree exactly.

    Raises:
        ArgumentError: the two are not batches of the same shape.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    _require_pair(estimate, truth)
    estimate = estimate.clamp(0, 1) if clip else estimate
    return peak_signal_noise_ratio(estimate, truth, data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssim(estimate: Images, truth: Images, *, clip: bool = True) -> Float[Tensor, " batch"]:
    """Structural similarity, mean over channels and the pixels whose window fits in the image; 1 is identity.

    Gaussian window of standard deviation 1.5 cut at 11 x 11, K1 = 0.01, K2 = 0.03 (Wang et al., Image Quality
    Assessment: From Error Visibility to Structural Similarity, IEEE TIP 2004, Eq. 13).

    Args:
        estimate: ``B x C x H x W``, floating, nominally in [0, 1]; H and W at least 11.
        truth: the same shape, in [0, 1].
        clip: whether the estimate is clipped to [0, 1] first.

    Returns:
        One value in [-1, 1] per image.

    Raises:
        ArgumentError: the two are not batches of the same shape, or smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _require_pair(estimate, truth)
    if min(truth.shape[-2:]) < _SSIM_WINDOW:
        raise ArgumentError(f"expected images of at least 11 x 11 pixels, got {tuple(truth.shape[-2:])}; use psnr")
    estimate = estimate.clamp(0, 1) if clip else estimate
    _, similarity = structural_similarity_index_measure(
        estimate, truth, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    border = _SSIM_WINDOW // 2
    return similarity[..., border:-border, border:-border].mean((1, 2, 3))


def ms_ssim(estimate: Images, truth: Images, *, clip: bool = True) -> Float[Tensor, " batch"]:
    """Structural similarity over five scales, with the constants and windows of :func:`ssim`; 1 is identity.

    Wang, Simoncelli and Bovik, Multi-scale Structural Similarity for Image Quality Assessment, Asilomar 2003, Eq. 7,
    with their weights of the scales.

    Args:
        estimate: ``B x C x H x W``, floating, nominally in [0, 1]; H and W above 160.
        truth: the same shape, in [0, 1].
        clip: whether the estimate is clipped to [0, 1] first.

    Raises:
        ArgumentError: the two are not batches of the same shape, or smaller than the coarsest window.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    _require_pair(estimate, truth)
    least = (_SSIM_WINDOW - 1) * 2 ** (_SCALES - 1)
    if min(truth.shape[-2:]) <= least:
        raise ArgumentError(f"expected more than {least} pixels a side, got {tuple(truth.shape[-2:])}; use ssim")
    estimate = estimate.clamp(0, 1) if clip else estimate
    similarity: Tensor = multiscale_structural_similarity_index_measure(
        estimate, truth, sigma=1.5, data_range=1.0, reduction="none", normalize="relu"
    )
    return similarity


def _require_pair(estimate: Tensor, truth: Tensor) -> None:
    if estimate.ndim != 4 or estimate.shape != truth.shape:
        raise ArgumentError(
            f"expected two batches B x C x H x W of the same shape, got {tuple(estimate.shape)} and "
            f"{tuple(truth.shape)}; add the batch axis with image[None] and crop both to the same pixels"
        )
