"""PNG, 8 and 16 bit: pixels through libpng, metadata chunk by chunk.

Pillow reads and writes no 16-bit RGB, and libpng's bindings no metadata, hence the small chunk walker. Palettes become
RGB, colour keys become alpha, and 1, 2 and 4 bits become 8. Chunk layouts: W3C, PNG (Third Edition), section 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

from noisewise.data.formats.limits import check_size
from noisewise.data.image import ImageFile
from noisewise.errors import OutputError, UnreadableImageError

__all__ = ["SIGNATURE", "check", "decode", "encode", "size"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_CHUNKS = ("cHRM", "cICP", "gAMA", "sRGB")
_HEADER_END = len(SIGNATURE) + 25  # IHDR is always first and 25 bytes long
_INCH_IN_METRES = 0.0254
_MAX_ICC_BYTES = 2**26
_PER_METRE = 1


def size(data: bytes) -> tuple[int, int]:
    """Width and height of the image in ``data``, from its header."""
    width, height = struct.unpack_from(">II", data, len(SIGNATURE) + 8)
    return width, height


def decode(data: bytes) -> ImageFile:
    """The image in ``data``.

    Raises:
        UnreadableImageError: animated, truncated or too large.
    """
    import imagecodecs

    chunks = dict(_chunks(data))
    check_size(*struct.unpack_from(">II", chunks["IHDR"]))
    _refuse_animation(chunks)
    return ImageFile.from_samples(
        imagecodecs.png_decode(data),
        format="png",
        icc=_icc(chunks),
        exif=chunks.get("eXIf"),
        resolution=_resolution(chunks),
        colour_chunks={name: chunks[name] for name in _COLOUR_CHUNKS if name in chunks},
    )


def check(image: ImageFile) -> None:
    """Raises OutputError where PNG cannot hold ``image``."""
    if image.is_float:
        raise OutputError("PNG holds no floating-point pixels; choose .tiff")


def encode(image: ImageFile) -> bytes:
    """``image`` as a PNG file of its bit depth."""
    import imagecodecs

    data = bytes(imagecodecs.png_encode(image.samples))
    metadata = b"".join(_pack(name, payload) for name, payload in _metadata(image).items())
    return data[:_HEADER_END] + metadata + data[_HEADER_END:]


def _chunks(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and payload of each chunk up to IEND."""
    at, name = len(SIGNATURE), ""
    while name != "IEND":
        if at + 12 > len(data):
            raise UnreadableImageError("it is truncated; copy or export it again")
        (length,) = struct.unpack_from(">I", data, at)
        name = data[at + 4 : at + 8].decode("latin-1")
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def _pack(name: str, payload: bytes) -> bytes:
    body = name.encode("latin-1") + payload
    return struct.pack(">I", len(payload)) + body + struct.pack(">I", zlib.crc32(body))


def _refuse_animation(chunks: Mapping[str, bytes]) -> None:
    frames = struct.unpack_from(">I", chunks["acTL"])[0] if "acTL" in chunks else 1
    if frames > 1:
        raise UnreadableImageError(f"it is animated ({frames} frames); save the frames as files of their own")


def _icc(chunks: Mapping[str, bytes]) -> bytes | None:
    if "iCCP" not in chunks:
        return None
    _name, _, compressed = chunks["iCCP"].partition(b"\0")
    return zlib.decompressobj().decompress(compressed[1:], _MAX_ICC_BYTES) or None


def _resolution(chunks: Mapping[str, bytes]) -> tuple[float, float] | None:
    if "pHYs" not in chunks:
        return None
    x, y, unit = struct.unpack(">IIB", chunks["pHYs"])
    return (x * _INCH_IN_METRES, y * _INCH_IN_METRES) if unit == _PER_METRE else None


def _metadata(image: ImageFile) -> dict[str, bytes]:
    chunks = dict(image.colour_chunks)
    if image.icc:
        chunks["iCCP"] = b"ICC profile\0\0" + zlib.compress(image.icc)
    if image.resolution:
        x, y = (round(value / _INCH_IN_METRES) for value in image.resolution)
        chunks["pHYs"] = struct.pack(">IIB", x, y, _PER_METRE)
    if image.exif:
        chunks["eXIf"] = image.exif
    return chunks
