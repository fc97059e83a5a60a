"""One HTML file that shows what a denoiser did: before and after, what was removed, and the numbers.

The page needs nothing but itself: pictures, style and script are inside it, and it forbids the browser to fetch
anything else. It opens from a file, a mail or a continuous-integration artefact alike.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noisewise._files import check_target, write_atomically
from noisewise.errors import ArgumentError, OutputError
from noisewise.restore import report_figures as draw

__all__ = ["ReportImage", "ReportTable", "drawn", "render_report", "write_report"]

_PICTURE_PIXELS = 1_800_000  # embedded at most for one picture
_PAGE_PIXELS = 12_000_000  # shared by the images of a page, so that a folder of photographs still opens
_LOSSLESS_SHARE = 0.25  # a PNG pixel of a noisy picture costs several times a JPEG one
_THUMBNAIL_PIXELS = 20_000


@dataclass(frozen=True, eq=False)
class ReportImage:
    """What the report tells of one image.

    Attributes:
        name: title of its section, usually the file's name.
        before: the noisy picture, uint8, ``H x W`` or ``H x W x 3``.
        after: the denoised picture, of the same shape.
        residual: noisy minus clean estimate on the [0, 1] scale, of the same shape.
        reference: the clean truth, of the same shape, where there is one.
        diagnosis: rows of label and value.
        figures: rows of label, value before and value after; the first is repeated in the list of contents.
        autocorrelation: of the residual, ``K x K`` with K odd and at least 3, lag zero at the centre, in [-1, 1].

    Raises:
        ArgumentError: an array has another shape or dtype, or holds values that are not finite.
    """

    name: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    residual: NDArray[np.floating] | None = None
    reference: NDArray[np.uint8] | None = None
    diagnosis: Sequence[tuple[str, str]] = ()
    figures: Sequence[tuple[str, str, str]] = ()
    autocorrelation: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        _check_picture("before", self.before, np.uint8, like=self.before)
        _check_picture("after", self.after, np.uint8, like=self.before)
        if self.reference is not None:
            _check_picture("reference", self.reference, np.uint8, like=self.before)
        if self.residual is not None:
            _check_picture("residual", self.residual, np.floating, like=self.before)
        if self.autocorrelation is not None:
            _check_lags(self.autocorrelation)


class ReportTable(NamedTuple):
    """A table below the images; the first cell of a row is its heading."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def render_report(
    images: Sequence[ReportImage], *, title: str, summary: str = "", tables: Sequence[ReportTable] = ()
) -> str:
    """The report as one self-contained HTML page.

    Every picture of an image is embedded in the same encoding, so that no codec flatters one of them: PNG up to 0.45
    megapixels, above that JPEG of quality 92 with full chroma. A picture beyond 1.8 megapixels is embedded twice at
    0.9 megapixels: whole but reduced, and its centre at full resolution. With seven images or more these limits shrink,
    for the page holds 12 megapixels of each kind. It says what was done. Text is escaped, so names may hold anything.

    Args:
        images: at least one.
        title: heading of the page.
        summary: one line under it.
        tables: shown below the images.

    Raises:
        ArgumentError: there are no images.
    """
    import jinja2

    if not images:
        raise ArgumentError("a report shows at least one image, got none; pass a ReportImage for each denoised file")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("noisewise.restore", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    max_pixels = min(_PICTURE_PIXELS, _PAGE_PIXELS / len(images))
    sections = [_section(image, max_pixels) for image in images]
    return environment.get_template("report.html.jinja").render(
        title=title, summary=summary, sections=sections, tables=tables
    )


def write_report(
    images: Sequence[ReportImage],
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: str = "",
    tables: Sequence[ReportTable] = (),
    overwrite: bool = False,
) -> Path:
    """Write :func:`render_report` to ``path``, whole or not at all.

    Args:
        images: at least one.
        path: the HTML file; its folder exists.
        title: heading of the page.
        summary: one line under it.
        tables: shown below the images.
        overwrite: replace a file that is there already.

    Returns:
        ``path``.

    Raises:
        ArgumentError: there are no images.
        OutputError: the file exists, or cannot be written.
    """
    target = Path(path)
    check_target(target, overwrite=overwrite)
    page = render_report(images, title=title, summary=summary, tables=tables)
    # file names that are not UTF-8 reach Python as lone surrogates, which no encoding takes
    data = page.encode("utf-8", errors="backslashreplace")
    try:
        write_atomically(target, data, overwrite=overwrite)
    except OSError as reason:
        why = reason.strerror or str(reason)
        raise OutputError(
            f"cannot write the report to {target}: {why}; its folder must exist and be writable"
        ) from reason
    return target


def drawn(
    image: ReportImage, fit: Callable[[NDArray[Any]], NDArray[Any]]
) -> tuple[dict[str, draw.Pixels], float | None]:
    """The pictures of one image, each passed through ``fit``, and the gain of the residual among them.

    Args:
        image: whose ``before``, ``after``, ``reference`` and ``residual`` are drawn, those that there are.
        fit: reduces or cuts a picture, of uint8 or float32.
    """
    given = {"before": image.before, "after": image.after, "reference": image.reference}
    pictures = {kind: fit(picture) for kind, picture in given.items() if picture is not None}
    gain = None
    if image.residual is not None:
        # averaging shrinks noise more than lost detail, so a reduced residual is amplified anew
        residual = fit(np.asarray(image.residual, np.float32))
        gain = draw.residual_gain(residual)
        pictures["residual"] = draw.residual_map(residual, gain)
    return pictures, gain


def _section(image: ReportImage, max_pixels: float) -> dict[str, Any]:
    """What the template needs to know of one image."""
    full_size = _size(image.before)
    shown_size = full_size
    if draw.display_size(full_size, max_pixels) != full_size:
        shown_size = draw.display_size(full_size, max_pixels / 2)
    lossless = math.prod(full_size) <= _LOSSLESS_SHARE * max_pixels
    views = {"whole": _view(image, partial(draw.reduced, size=shown_size), lossless=lossless)}
    if shown_size != full_size:
        views["centre"] = _view(image, partial(draw.centre_crop, size=shown_size), lossless=lossless)
    return {
        # only what the template prints: the arrays of all images together would fill the memory
        "image": {"name": image.name, "figures": image.figures, "diagnosis": image.diagnosis},
        "full_size": full_size,
        "shown_size": shown_size,
        "lossless": lossless,
        "views": views,
        "thumbnail": _thumbnail(image.after),
        "lags": None if image.autocorrelation is None else _lags(image.autocorrelation),
    }


def _view(image: ReportImage, fit: Callable[[NDArray[Any]], NDArray[Any]], *, lossless: bool) -> dict[str, Any]:
    pictures, gain = drawn(image, fit)
    uris = {kind: draw.data_uri(picture, lossless=lossless) for kind, picture in pictures.items()}
    return {"gain": gain, "pictures": uris}


def _size(picture: NDArray[Any]) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return height, width


def _thumbnail(pixels: draw.Pixels) -> str:
    size = draw.display_size(_size(pixels), _THUMBNAIL_PIXELS)
    return draw.data_uri(draw.reduced(pixels, size), lossless=False)


def _lags(autocorrelation: NDArray[np.floating]) -> dict[str, Any]:
    centre = len(autocorrelation) // 2
    return {
        "picture": draw.data_uri(draw.autocorrelation_map(autocorrelation), lossless=True),
        "reach": centre,
        "across": _signed(autocorrelation[centre, centre + 1]),
        "down": _signed(autocorrelation[centre + 1, centre]),
    }


def _signed(value: float) -> str:
    return f"{value:+z.2f}".replace("-", "−")


def _check_picture(field: str, array: NDArray[Any], kind: type[np.generic], *, like: NDArray[Any]) -> None:
    """Refuse what is no ``H x W`` or ``H x W x 3`` array of ``kind``, as high and wide as ``like``."""
    _check_numbers(field, array, kind)
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ArgumentError(
            f"{field} must be H x W or H x W x 3 and not empty, got shape {array.shape}; "
            "put the channels last, drop alpha and pass one image at a time"
        )
    if array.shape[:2] != like.shape[:2]:
        raise ArgumentError(
            f"{field} must be as high and wide as before, {like.shape[:2]}, got {array.shape[:2]}; "
            "pass pictures of one and the same image"
        )


def _check_lags(array: NDArray[Any]) -> None:
    _check_numbers("autocorrelation", array, np.floating)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or len(array) < 3 or len(array) % 2 == 0:
        raise ArgumentError(
            f"autocorrelation must be K x K with K odd and at least 3, got shape {array.shape}; "
            "crop it symmetrically around lag zero"
        )


def _check_numbers(field: str, array: object, kind: type[np.generic]) -> None:
    if not (isinstance(array, np.ndarray) and np.issubdtype(array.dtype, kind)):
        got = getattr(array, "dtype", type(array).__name__)
        raise ArgumentError(f"{field} must be a NumPy array of {kind.__name__}, got {got}; convert it with astype")
    if not np.isfinite(array).all():
        raise ArgumentError(f"{field} must be finite, got NaN or infinity; find where the denoiser diverged")
