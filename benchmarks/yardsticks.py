"""The denoisers that ours stands beside: float RGB ``H x W x 3`` and sigma on [0, 1] in, the clean estimate out.

They are told the true sigma where there is one and estimate it with scikit-image otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import noisewise

__all__ = ["METHODS", "OPTIONAL", "Image", "Method"]

NLM_LUMA, NLM_COLOUR = 0.5, 0.6

Image = NDArray[np.float32]
Method = Callable[[Image, float | None], Image]


def _sigma(noisy: Image, sigma: float | None) -> float:
    from skimage.restoration import estimate_sigma

    return float(estimate_sigma(noisy, average_sigmas=True, channel_axis=-1)) if sigma is None else sigma


def noisy_input(noisy: Image, sigma: float | None) -> Image:
    return noisy


def ours_blind(noisy: Image, sigma: float | None) -> Image:
    return np.asarray(noisewise.denoise(noisy).image)


def ours_told(noisy: Image, sigma: float | None) -> Image:
    return np.asarray(noisewise.denoise(noisy, sigma=sigma).image)


def opencv_nlm(noisy: Image, sigma: float | None) -> Image:
    """Non-local means with the strength that ``tune_nlm.py`` found on training images (OpenCV takes 8 bits only)."""
    import cv2

    eight_bit = np.rint(noisy.clip(0, 1) * 255).astype(np.uint8)
    bgr = np.ascontiguousarray(eight_bit[..., ::-1])
    estimate = cv2.fastNlMeansDenoisingColored(bgr, None, *nlm_strengths(255 * _sigma(noisy, sigma)), 7, 21)
    return estimate[..., ::-1].astype(np.float32) / 255


def nlm_strengths(level: float) -> tuple[float, float]:
    """``h`` and ``hColor`` for noise of ``level`` on the 0-255 scale."""
    return NLM_LUMA * level, NLM_COLOUR * level


def wavelet(noisy: Image, sigma: float | None) -> Image:
    from skimage.restoration import denoise_wavelet

    options = {"channel_axis": -1, "convert2ycbcr": True, "rescale_sigma": True, "method": "BayesShrink"}
    # scikit-image's colour transform wants [0, 1]; an affine map keeps what the noise put outside
    low, high = min(0.0, float(noisy.min())), max(1.0, float(noisy.max()))
    unit = (noisy - low) / (high - low)
    return denoise_wavelet(unit, sigma=_sigma(unit, sigma and sigma / (high - low)), **options) * (high - low) + low


def bm3d(noisy: Image, sigma: float | None) -> Image:
    from bm3d import bm3d_rgb

    return bm3d_rgb(noisy.astype(np.float64), sigma_psd=_sigma(noisy, sigma)).astype(np.float32)


METHODS: dict[str, Method] = {
    "noisy": noisy_input,
    "noisewise": ours_blind,
    "noisewise_told_sigma": ours_told,
    "opencv_nlm": opencv_nlm,
    "skimage_wavelet": wavelet,
}
OPTIONAL: dict[str, Method] = {"bm3d": bm3d}
"""Non-commercial software that a user may have; slow, so it joins only when asked for."""
