"""What is wrong with an image: noise and its kind, clipping, lost bits, JPEG; seen on at most 768 x 768 pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisewise.data.scale import AnyArray, Scale, working_scale
from noisewise.errors import ArgumentError
from noisewise.measure.bit_depth import bit_depth
from noisewise.measure.jpeg import jpeg_grid, jpeg_quality
from noisewise.measure.noise_level import noise_profile, white_noise_level
from noisewise.restore.pixels import as_arrays

__all__ = ["Diagnosis", "diagnose"]

_Planes = TypeVar("_Planes", Tensor, AnyArray)

_STRIP, _STRIPS = 192, 4  # the strip is a multiple of 8, so that a sample keeps the phase of a JPEG grid
_BLOCKY = 0.05
_LEVELS = ("noise_level", "noise_level_white", "noise_level_correlated", "read_level", "shot_gain")
_WHITE_SHARE, _WHITE_CORRELATION = 0.6, 0.3


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found in one image; noise levels are standard deviations on the [0, 1] scale.

    Attributes:
        clipped_low: share of values that are exactly 0.
        clipped_high: share of values that are exactly the most that the image's type holds (1 for floats).
        noise_level_white: level under the assumption of white noise; far too low if it is correlated.
        noise_level_correlated: level without that assumption; somewhat too high in images without flat regions.
        correlation: of the noise of neighbouring pixels, 0 if white.
        shot_gain: growth of the noise variance with the light, >= 0.
        read_level: noise level at black.
        bit_depth: effective bits per value of the file's own scale; None for continuous data.
        blockiness: contrast of the strongest 8 x 8 grid, see :func:`noisewise.measure.jpeg_grid`.
        jpeg_quality: quality of the JPEG that these pixels were decoded from; None if it cannot be read from them.
    """

    clipped_low: float
    clipped_high: float
    noise_level_white: float
    noise_level_correlated: float
    correlation: float
    shot_gain: float
    read_level: float
    bit_depth: int | None
    blockiness: float
    jpeg_quality: int | None

    @property
    def is_white(self) -> bool:
        """Whether white noise explains at least six tenths of the level and neighbouring pixels hardly correlate."""
        explained = self.noise_level_white >= _WHITE_SHARE * self.noise_level_correlated
        return explained and self.correlation < _WHITE_CORRELATION

    @property
    def noise_level(self) -> float:
        """The level to believe: the white one, more exact, if the noise is white; else the correlated one."""
        return self.noise_level_white if self.is_white else self.noise_level_correlated

    @property
    def is_jpeg(self) -> bool:
        """Whether the image has been a JPEG."""
        return self.jpeg_quality is not None or self.blockiness > _BLOCKY

    def as_dict(self, *, scale: float = 1.0) -> dict[str, float | int | bool | None]:
        """All attributes and judgements, ready for JSON; levels, and the shot gain, for white at ``scale``."""
        judged = {"noise_level": self.noise_level, "is_white": self.is_white, "is_jpeg": self.is_jpeg}
        values = asdict(self) | judged
        return values | {name: scale * values[name] for name in _LEVELS}

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each finding, levels on the 0-255 scale."""
        return [
            ("Noise", self._noise()),
            ("Light dependence", self._light()),
            ("Clipping", f"{self.clipped_low:.2%} black, {self.clipped_high:.2%} white"),
            ("Bit depth", "continuous" if self.bit_depth is None else f"{self.bit_depth} bits"),
            ("JPEG", self._jpeg()),
        ]

    def lines(self) -> list[str]:
        """The findings as short sentences, levels on the 0-255 scale."""
        return [f"{label}: {value}" for label, value in self.rows()]

    def _noise(self) -> str:
        kind = "white" if self.is_white else f"neighbouring pixels correlated {self.correlation:.2f}"
        return f"sigma {255 * self.noise_level:.1f} of 255, {kind}"

    def _light(self) -> str:
        """Noise levels at black and at white of the fitted ``variance = read^2 + gain * mean``."""
        white = (self.read_level**2 + self.shot_gain) ** 0.5
        if white <= 1.5 * self.read_level:
            return "little or none"
        return f"sigma {255 * self.read_level:.1f} in black, {255 * white:.1f} in white"

    def _jpeg(self) -> str:
        if not self.is_jpeg:
            return "no trace"
        return "blocks of 8 x 8" if self.jpeg_quality is None else f"quality {self.jpeg_quality}"


@torch.inference_mode()
def diagnose(image: AnyArray | Tensor) -> Diagnosis:
    """Measure noise, clipping, bit depth and traces of JPEG in one image.

    Images larger than 768 x 768 pixels are sampled on a grid of strips, so that time and memory do not grow with
    them.

    Args:
        image: NumPy ``H x W`` or ``H x W x C`` as :func:`noisewise.denoise` takes it, or torch ``C x H x W`` or
            ``1 x C x H x W``, floating, nominally in [0, 1]. Noise levels are reliable from about
            64 x 64 pixels on; below 8 x 8 they are 0.

    Raises:
        ArgumentError: not one floating image, no pixels, or values that are not finite.
    """
    sample, stored, centre = _seen_array(image) if isinstance(image, np.ndarray) else _seen_tensor(image)
    if not sample.isfinite().all():
        raise ArgumentError("expected finite pixels, got NaN or infinity; replace them with torch.nan_to_num(image)")
    white = white_noise_level(sample[None])
    profile = noise_profile(sample[None])
    blockiness, quality = _jpeg_traces(centre)
    return Diagnosis(
        clipped_low=(stored == 0).count_nonzero().item() / stored.numel(),
        clipped_high=(stored == 1).count_nonzero().item() / stored.numel(),
        noise_level_white=white.item(),
        noise_level_correlated=profile.level.item(),
        correlation=profile.correlation.item(),
        shot_gain=profile.gain.item(),
        read_level=profile.read.item(),
        bit_depth=bit_depth(stored),
        blockiness=blockiness,
        jpeg_quality=quality,
    )


class _Seen(NamedTuple):
    """The parts of an image that are measured, floating, ``C x H x W``."""

    sample: Tensor
    stored: Tensor
    """The sample with 1 for the most that the image's type holds, whatever the sample takes for well exposed."""
    centre: Tensor


def _seen_tensor(image: Tensor) -> _Seen:
    single = _single(image)
    sample = _sampled(single).float()
    return _Seen(sample, sample, _centre(single).float())


def _seen_array(image: AnyArray) -> _Seen:
    (array,) = as_arrays(image)
    scale, planes = working_scale(array), np.moveaxis(array, -1, 0)
    sample, centre = _sampled(planes), _centre(planes)  # before they are scaled: a large photograph is not copied
    own = scale if array.dtype.kind == "f" else Scale(0.0, float(np.iinfo(array.dtype).max))
    return _Seen(*(torch.from_numpy(s.to_unit(part)) for s, part in ((scale, sample), (own, sample), (scale, centre))))


def _jpeg_traces(crop: Tensor) -> tuple[float, int | None]:
    """Blockiness, and quality at the position of an uncropped JPEG or else of the grid that shows."""
    grid = jpeg_grid(crop)
    quality = jpeg_quality(crop)
    if quality is None and grid.contrast > _BLOCKY:
        quality = jpeg_quality(crop, row=grid.row, column=grid.column)
    return grid.contrast, quality


def _single(image: Tensor) -> Tensor:
    shape, floating = tuple(image.shape), image.is_floating_point()
    single = image[0] if image.ndim == 4 and len(image) == 1 else image
    if single.ndim != 3 or not floating or single.numel() == 0:
        raise ArgumentError(
            f"expected one floating image C x H x W, got {shape} of {image.dtype}; divide integers by their maximum "
            "and pass the images of a batch one by one"
        )
    return single


def _sampled(image: _Planes) -> _Planes:
    rows, columns = (_strips(side) for side in image.shape[-2:])
    return image[:, rows[:, None], columns]


def _strips(side: int) -> NDArray[np.int64]:
    """All indices of a short side, or those of four strips spread over it."""
    if side <= _STRIP * _STRIPS:
        return np.arange(side)
    starts = np.linspace(0, side - _STRIP, _STRIPS).astype(np.int64) // 8 * 8
    return (starts[:, None] + np.arange(_STRIP)).ravel()


def _centre(image: _Planes) -> _Planes:
    """The middle, on whole blocks of 8: unlike the sample it has no seams that could be taken for blocks."""
    top, left = (max(0, side - _STRIP * _STRIPS) // 16 * 8 for side in image.shape[-2:])
    return image[:, top : top + _STRIP * _STRIPS, left : left + _STRIP * _STRIPS]
