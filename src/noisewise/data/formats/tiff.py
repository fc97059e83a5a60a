"""TIFF, 8 and 16 bit integers and 32 and 64 bit floats, through tifffile; written with lossless Deflate."""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from noisewise.data.formats.exif import byte_order, from_tiff, into_tiff
from noisewise.data.formats.limits import check_size
from noisewise.data.image import ImageFile, Pixels
from noisewise.errors import OutputError, UnreadableImageError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

__all__ = ["SIGNATURES", "check", "decode", "encode", "size"]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF

_ASSOCIATED = 1  # premultiplied alpha, TIFF 6.0, section 18
_ICC = 34675
_INCHES_PER_UNIT = {2: 1.0, 3: 1 / 2.54}
_SILENCE = logging.NullHandler()
_MEND = "save it as 8 or 16 bit integers or 32 bit floats"


def size(data: bytes) -> tuple[int, int]:
    """Width and height of the one picture in ``data``, from its header.

    Raises:
        UnreadableImageError: several pages.
    """
    with _opened(data) as tiff:
        page = _only_page(tiff)
        return page.imagewidth, page.imagelength


def decode(data: bytes) -> ImageFile:
    """The one picture in ``data``, chunky or planar, in any compression that tifffile knows.

    Premultiplied alpha is divided out, since PNG and WebP know no other than straight alpha.

    Raises:
        UnreadableImageError: several pages, truncated, too large, not finite, or neither grey nor RGB nor palette.
    """
    with _opened(data) as tiff:
        page = _only_page(tiff)
        check_size(page.imagewidth, page.imagelength)
        _refuse_unknown(page)
        _refuse_truncated(page, len(data))
        return ImageFile.from_samples(
            _samples(page), format="tiff", icc=_icc(page), exif=from_tiff(data), resolution=_resolution(page)
        )


def check(image: ImageFile) -> None:
    """Fails where the EXIF block cannot be taken apart, as TIFF needs it; TIFF holds everything else.

    Raises:
        OutputError: the EXIF block is damaged.
    """
    try:
        from_tiff(image.exif or b"II*\0\x08\0\0\0\0\0")
    except (struct.error, ValueError, IndexError) as reason:
        raise OutputError("its EXIF block is damaged, which TIFF cannot hold; choose .png") from reason


def encode(image: ImageFile) -> bytes:
    """``image`` as a TIFF file of its bit depth."""
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(
        file,
        image.samples,
        photometric="minisblack" if image.is_grey else "rgb",
        planarconfig=None if image.samples.ndim == 2 else "contig",
        extrasamples=None if image.alpha is None else ["unassalpha"],
        compression="zlib",
        predictor=True,
        iccprofile=image.icc,
        resolution=image.resolution,
        resolutionunit="inch" if image.resolution else None,
        byteorder=byte_order(image.exif or b""),
        metadata=None,
        software=False,
    )
    return into_tiff(file.getvalue(), image.exif) if image.exif else file.getvalue()


def _opened(data: bytes) -> TiffFile:
    import tifffile

    # tifffile logs what it finds wrong, on stderr where no logging is set up; here that becomes one error instead.
    logging.getLogger("tifffile").addHandler(_SILENCE)
    return tifffile.TiffFile(io.BytesIO(data))


def _only_page(tiff: TiffFile) -> TiffPage:
    """The full picture; previews and masks, which TIFF keeps as pages, do not count."""
    pages = [page.aspage() for page in tiff.pages]
    full = [page for page in pages if not (page.is_reduced or page.is_mask)]
    if len(full) != 1:
        raise UnreadableImageError(f"it has {len(full)} pages; save each page as a file of its own")
    return full[0]


def _photometric(page: TiffPage) -> str:
    import tifffile

    return tifffile.PHOTOMETRIC(page.photometric).name


def _refuse_unknown(page: TiffPage) -> None:
    kind = _photometric(page)
    bits = "float" if page.dtype is not None and page.dtype.kind == "f" else page.bitspersample
    known = {"MINISBLACK": (1, 8, 16, "float"), "MINISWHITE": (1, 8, 16), "PALETTE": (1, 2, 4, 8, 16)}
    if bits not in known.get(kind, (8, 16, "float")) or page.sampleformat == 2:
        raise UnreadableImageError(f"its pixels are {page.dtype} of {page.bitspersample} bits ({kind}); {_MEND}")
    colours = {"MINISBLACK": 1, "MINISWHITE": 1, "PALETTE": 1, "RGB": 3, "YCBCR": 3}.get(kind)
    if colours is None:
        raise UnreadableImageError(f"its colours are {kind}; convert it to RGB or grey in an image editor")
    if page.samplesperpixel not in (colours, colours + 1) or page.imagedepth != 1:
        raise UnreadableImageError(f"it has {page.samplesperpixel} channels ({kind}); save it as grey or RGB")


def _refuse_truncated(page: TiffPage, size: int) -> None:
    # tifffile fills absent segments with zeros, and some decoders accept a segment that was cut short.
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not segments or any(count == 0 or offset + count > size for offset, count in segments):
        raise UnreadableImageError("it is truncated; copy or export it again")


def _samples(page: TiffPage) -> Pixels:
    stored: Pixels = page.asarray()
    stored = np.moveaxis(stored, 0, -1) if page.axes == "SYX" else stored
    samples = _INTERPRETATIONS.get(_photometric(page), _as_stored)(page, stored)
    if samples.dtype.kind == "f":
        return _finite(samples)
    return _straight(samples) if _ASSOCIATED in page.extrasamples else samples


def _as_stored(page: TiffPage, stored: Pixels) -> Pixels:
    return np.where(stored, np.uint8(255), np.uint8(0)) if page.bitspersample == 1 else stored


def _white_is_zero(page: TiffPage, stored: Pixels) -> Pixels:
    grey = _as_stored(page, stored)
    return np.iinfo(grey.dtype).max - grey


def _from_palette(page: TiffPage, stored: Pixels) -> Pixels:
    # Entries are 16 bit wide; the upper byte is what 8-bit palettes were made from.
    palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
    return palette[stored.astype(np.intp)]


_INTERPRETATIONS: dict[str, Callable[[TiffPage, Pixels], Pixels]] = {
    "MINISWHITE": _white_is_zero,
    "PALETTE": _from_palette,
}


def _finite(samples: Pixels) -> Pixels:
    if not np.isfinite(samples).all():
        raise UnreadableImageError("some of its pixels are NaN or infinite; replace them and save it again")
    return samples.astype(np.promote_types(samples.dtype, np.float32))


def _straight(samples: Pixels) -> Pixels:
    """Premultiplied colours divided by their alpha: ``c = c' / a``, black where ``a = 0``."""
    colour, alpha = samples[..., :-1].astype(np.float64), samples[..., -1:]
    most = np.iinfo(samples.dtype).max
    straight = np.rint(colour * most / np.maximum(alpha, 1)).clip(0, most)
    return np.concatenate([straight.astype(samples.dtype), alpha], axis=-1)


def _icc(page: TiffPage) -> bytes | None:
    tag = page.tags.get(_ICC)
    return bytes(tag.value) if tag else None


def _resolution(page: TiffPage) -> tuple[float, float] | None:
    x, y, unit = (page.tags.get(code) for code in (282, 283, 296))
    scale = _INCHES_PER_UNIT.get(int(unit.value) if unit else 2)
    if not (x and y and scale and x.value[1] and y.value[1]):
        return None
    return x.value[0] / x.value[1] / scale, y.value[0] / y.value[1] / scale
