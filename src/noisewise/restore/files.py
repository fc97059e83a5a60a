"""A noisy file in, a clean file out, with what was found and done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisewise.data import ImageFile, check_output, read_image, write_image
from noisewise.measure.residual import autocorrelation, signal_correlation, whiteness
from noisewise.models import BlindDenoiser
from noisewise.restore.denoise import Restored, TileProgress, denoise
from noisewise.restore.pixels import AnyArray, working_scale
from noisewise.restore.report import ReportImage
from noisewise.restore.report_figures import residual_gain, residual_map

__all__ = ["RestoredFile", "denoise_file", "residual_path"]

_PROOF_PIXELS = 1024
_MAX_LAG = 8


@dataclass(frozen=True, eq=False)
class RestoredFile:
    """What :func:`denoise_file` read, found and wrote.

    Attributes:
        noisy: the file as it was read.
        restored: the denoised image with its diagnosis.
        target: where it was written.
    """

    noisy: ImageFile
    restored: Restored
    target: Path

    @property
    def clean(self) -> AnyArray:
        """The pixels that were written."""
        return np.asarray(self.restored.image)

    def proof(self) -> dict[str, float]:
        """Whiteness of the residual in (0, 1] and its correlation with the clean image, from the image's centre."""
        residual, clean = self._unit_crop(self.restored.residual, 0.0), self._unit_crop(self.clean, None)
        lags = min(4, min(residual.shape[-2:]) - 1)
        return {
            "residual_whiteness": round(float(whiteness(residual, max_lag=lags)), 3),
            "residual_signal_correlation": round(float(signal_correlation(residual, clean)), 3),
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the diagnosis, the level that was removed (0-255 scale) and the proof."""
        diagnosis = self.restored.diagnosis
        found = {
            "found": diagnosis.lines(),
            "diagnosis": diagnosis.as_dict(),
            "sigma": round(255 * self.restored.sigma, 2),
        }
        return found | self.proof()

    def report_image(self, name: str, reference: AnyArray | None = None) -> ReportImage:
        """This file as a section of the HTML report."""
        scale = working_scale(self.noisy.pixels)
        residual = np.asarray(self.restored.residual) / np.float32(scale.high - scale.low)
        crop = self._unit_crop(self.restored.residual, 0.0)
        lags = min(_MAX_LAG, min(crop.shape[-2:]) - 1)
        return ReportImage(
            name=name,
            before=self._display(self.noisy.pixels),
            after=self._display(self.clean),
            residual=residual,
            reference=reference,
            diagnosis=self.restored.diagnosis.rows(),
            autocorrelation=autocorrelation(crop, max_lag=lags)[0].numpy() if lags > 0 else None,
        )

    def _display(self, pixels: AnyArray) -> AnyArray:
        unit = working_scale(self.noisy.pixels).to_unit(pixels)
        display: AnyArray = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
        return display

    def _unit_crop(self, values: Any, low: float | None) -> Tensor:
        scale = working_scale(self.noisy.pixels)
        array = np.atleast_3d(np.asarray(values))
        top, left = (max(0, side - _PROOF_PIXELS) // 2 for side in array.shape[:2])
        crop = array[top : top + _PROOF_PIXELS, left : left + _PROOF_PIXELS].astype(np.float32)
        unit = (crop - (scale.low if low is None else low)) / (scale.high - scale.low)
        return torch.from_numpy(unit).movedim(-1, 0)[None]


def denoise_file(
    source: Path,
    target: Path,
    *,
    sigma: float | None = None,
    strength: float | None = None,
    residual: bool = False,
    overwrite: bool = False,
    model: BlindDenoiser | None = None,
    progress: TileProgress = lambda share: None,
) -> RestoredFile:
    """Denoise one file; bit depth, alpha, profile and EXIF are kept.

    Args:
        source: the noisy file.
        target: the clean one; its suffix says in which format.
        sigma: as for :func:`noisewise.denoise`, like the next.
        strength: likewise.
        residual: whether to write what was removed, amplified around mid-grey, to :func:`residual_path` as well.
        overwrite: whether outputs that exist are replaced.
        model: as for :func:`noisewise.denoise`, like the next.
        progress: likewise.

    Raises:
        UnreadableImageError: the source is no image that can be read.
        OutputError: an output exists or cannot be written.
    """
    noisy = read_image(source)
    check_output(noisy, target, overwrite=overwrite)
    restored = denoise(noisy.pixels, sigma, strength, model=model, progress=progress)
    write_image(replace(noisy, pixels=np.asarray(restored.image)), target, overwrite=overwrite)
    result = RestoredFile(noisy, restored, target)
    if residual:
        removed = np.asarray(result.restored.residual) / np.float32(np.ptp(working_scale(noisy.pixels)))
        picture = residual_map(removed, residual_gain(removed))
        write_image(ImageFile(picture), residual_path(target), overwrite=overwrite)
    return result


def residual_path(target: Path) -> Path:
    """Where the residual map of ``target`` goes."""
    return target.with_name(f"{target.stem}.residual.png")
