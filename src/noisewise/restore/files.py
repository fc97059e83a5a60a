"""A noisy file in, a clean file out, with what was found and done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.data import ImageFile, check_output, read_image, write_image
from noisewise.data.scale import AnyArray, working_scale
from noisewise.errors import OutputError
from noisewise.measure.residual import autocorrelation, signal_correlation, whiteness
from noisewise.restore.denoise import Sigma, TileProgress, denoise
from noisewise.restore.diagnose import Diagnosis, diagnose
from noisewise.restore.effort import NETWORK, Quality
from noisewise.restore.report import ReportImage
from noisewise.restore.report_figures import residual_gain, residual_map

__all__ = ["RestoredFile", "denoise_file", "read_restored", "refuse_existing", "residual_path"]

_PROOF_PIXELS = 1024
_PROOF_LAG, _REPORT_LAG = 4, 8


@dataclass(frozen=True, eq=False)
class RestoredFile:
    """A noisy file and the clean pixels made of it.

    Attributes:
        noisy: the file as it was read.
        clean: the denoised pixels, of the shape, type and range of the noisy ones.
        diagnosis: what was found in the noisy pixels.
    """

    noisy: ImageFile
    clean: AnyArray
    diagnosis: Diagnosis

    @property
    def residual(self) -> AnyArray:
        """What was removed, noisy - clean, float32 on the [0, 1] scale."""
        return self._removed(...)

    def residual_picture(self) -> AnyArray:
        """The residual amplified around mid-grey, uint8; made in strips, for as floats it is four times as large."""
        gain = residual_gain(self._removed(_middle(self.clean)))
        strips = [slice(top, top + _PROOF_PIXELS) for top in range(0, len(self.clean), _PROOF_PIXELS)]
        return np.concatenate([residual_map(self._removed(rows), gain) for rows in strips])

    def proof(self) -> dict[str, float]:
        """Whiteness of the residual in (0, 1] and its correlation with the clean image, from the image's centre."""
        middle = _middle(self.clean)
        noisy, clean = (_planes(self._unit(pixels[middle])) for pixels in (self.noisy.pixels, self.clean))
        residual = noisy - clean
        white = whiteness(residual, max_lag=_reach(residual, _PROOF_LAG))
        return {
            "residual_whiteness": round(white.item(), 3),
            "residual_signal_correlation": round(signal_correlation(residual, clean).item(), 3),
        }

    def report_image(self, name: str, reference: AnyArray | None = None) -> ReportImage:
        """This file as a section of the HTML report, beside the 8-bit clean truth where there is one."""
        residual = self.residual
        centre = _planes(residual[_middle(residual)])
        lags = _reach(centre, _REPORT_LAG)
        return ReportImage(
            name=name,
            before=self._display(self.noisy.pixels),
            after=self._display(self.clean),
            residual=residual,
            reference=reference,
            diagnosis=self.diagnosis.rows(),
            autocorrelation=autocorrelation(centre, max_lag=lags)[0].numpy() if lags > 0 else None,
        )

    def _removed(self, where: Any) -> AnyArray:
        difference = self._unit(self.noisy.pixels[where])
        difference -= self._unit(self.clean[where])
        return difference

    def _unit(self, pixels: AnyArray) -> AnyArray:
        return working_scale(self.noisy.pixels).to_unit(pixels)

    def _display(self, pixels: AnyArray) -> AnyArray:
        display: AnyArray = np.rint(self._unit(pixels).clip(0, 1) * 255).astype(np.uint8)
        return display


def read_restored(source: Path, target: Path) -> RestoredFile:
    """What an earlier :func:`denoise_file` made of ``source``, from the two files.

    Raises:
        UnreadableImageError: one of the files cannot be read.
    """
    noisy, clean = read_image(source), read_image(target)
    stored_as_rgb = noisy.is_grey and not clean.is_grey  # WebP knows no grey
    pixels = clean.pixels[..., 0] if stored_as_rgb else clean.pixels
    return RestoredFile(noisy, pixels, diagnose(noisy.pixels))


def denoise_file(
    source: Path,
    target: Path,
    *,
    sigma: Sigma | None = None,
    strength: float | None = None,
    method: str = NETWORK,
    quality: Quality = "fast",
    residual: bool = False,
    overwrite: bool = False,
    model: nn.Module | None = None,
    progress: TileProgress = lambda share: None,
) -> dict[str, Any]:
    """Denoise one file; bit depth, alpha, profile and EXIF are kept.

    Args:
        source: the noisy file.
        target: the clean one; its suffix says in which format.
        sigma: as for :func:`noisewise.denoise`, like the next.
        strength: likewise.
        method: likewise.
        quality: likewise.
        residual: whether to write what was removed, amplified around mid-grey, to :func:`residual_path` as well.
        overwrite: whether outputs that exist are replaced.
        model: as for :func:`noisewise.denoise`, like the next.
        progress: likewise.

    Returns:
        JSON-ready, levels on the 0-255 scale: the findings as sentences and as numbers, the level of the noise that was
        removed, the proof, see :meth:`RestoredFile.proof`, and the path of the residual where there is one.

    Raises:
        ArgumentError: a sigma or strength that cannot be used.
        UnreadableImageError: the source is no image that can be read.
        OutputError: an output exists or cannot be written.
        TrainingError: a learner came to no finite estimate.
        KeyboardInterrupt: a learner was cut short; its best so far has been written if it is worth it.
    """
    noisy = read_image(source)
    _check_outputs(noisy, target, residual=residual, overwrite=overwrite)
    restored = denoise(noisy.pixels, sigma, strength, method=method, quality=quality, model=model, progress=progress)
    result = RestoredFile(noisy, np.asarray(restored.image), restored.diagnosis)
    found = {"found": result.diagnosis.lines(), "diagnosis": result.diagnosis.as_dict(scale=255)}
    details = found | {"sigma": round(255 * restored.sigma, 2)} | result.proof()
    if residual:
        write_image(ImageFile(result.residual_picture()), residual_path(target), overwrite=overwrite)
        details["residual"] = str(residual_path(target))
    try:  # comes last, so that a target that exists is the sign of a file that is done
        write_image(replace(noisy, pixels=result.clean), target, overwrite=overwrite)
    except BaseException:
        if residual:
            residual_path(target).unlink(missing_ok=True)  # else the next run would refuse to replace it
        raise
    if restored.interrupted:
        raise KeyboardInterrupt
    return details


def residual_path(target: Path) -> Path:
    """Where the residual map of ``target`` goes; the whole name is kept, for a.jpg and a.png may lie side by side."""
    return target.with_name(f"{target.name}.residual.png")


def refuse_existing(target: Path, *, residual: bool) -> None:
    """Check that neither output of :func:`denoise_file` is there.

    Raises:
        OutputError: one is.
    """
    for path in [target, residual_path(target)] if residual else [target]:
        if path.exists():
            mend = "choose another output, or pass --overwrite (overwrite=True)"
            raise OutputError(f"cannot write {path}: it exists already; {mend}")


def _check_outputs(noisy: ImageFile, target: Path, *, residual: bool, overwrite: bool) -> None:
    check_output(noisy, target, overwrite=overwrite)
    if not overwrite:
        refuse_existing(target, residual=residual)


def _middle(array: AnyArray) -> tuple[slice, slice]:
    top, left = (max(0, side - _PROOF_PIXELS) // 2 for side in array.shape[:2])
    return slice(top, top + _PROOF_PIXELS), slice(left, left + _PROOF_PIXELS)


def _planes(array: AnyArray) -> Tensor:
    return torch.from_numpy(np.atleast_3d(array)).movedim(-1, 0)[None]


def _reach(residual: Tensor, lag: int) -> int:
    return min(lag, *(side - 1 for side in residual.shape[-2:]))
