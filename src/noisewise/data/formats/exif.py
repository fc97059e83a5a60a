"""Move an EXIF block into and out of a TIFF file, each field byte for byte.

An EXIF block is a TIFF without pixels: a header, a directory (IFD) of fields, and sub-directories for exposure, GPS and
interoperability. tifffile writes no such sub-directories, and Pillow's rewriting changes the types of fields.
Layouts: TIFF 6.0, section 2; BigTIFF; CIPA DC-008 (Exif 3.0), section 4.6.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["MARKER", "byte_order", "from_tiff", "into_tiff"]

MARKER = b"Exif\0\0"
"""What JPEG and some WebP writers put before the block."""

_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_Tree: TypeAlias = Mapping[int, "_Tree"]
_SUB_DIRECTORIES: _Tree = {_EXIF: {_INTEROPERABILITY: {}}, _GPS: {}}
# ImageDescription, Make, Model, Orientation, Software, DateTime, Artist, HostComputer, Copyright: the fields of the
# main directory that describe the picture rather than how its pixels are stored.
_DESCRIPTIVE = {270, 271, 272, 274, 305, 306, 315, 316, 33432, *_SUB_DIRECTORIES}
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


class _Field(NamedTuple):
    """One entry of a directory; its value is raw bytes, or the fields of a sub-directory."""

    tag: int
    type: int
    length: int
    value: "bytes | list[_Field]"


class _Layout(NamedTuple):
    """The `struct` formats of one kind of TIFF, classic or BigTIFF, in one byte order."""

    number: str
    entry: str
    offset: str
    offset_type: int

    @classmethod
    def of(cls, tiff: bytes) -> _Layout:
        order = byte_order(tiff)
        if tiff[2:4] in (b"\x2b\0", b"\0\x2b"):
            return cls(f"{order}Q", f"{order}HHQ8s", f"{order}Q", 16)
        return cls(f"{order}H", f"{order}HHI4s", f"{order}I", 4)

    @property
    def start_at(self) -> int:
        """Where the header holds the offset of the main directory: byte 4 in a classic TIFF, 8 in a BigTIFF."""
        return struct.calcsize(self.offset)


def byte_order(block: bytes) -> Literal["<", ">"]:
    """``"<"`` (little-endian) or ``">"`` of a TIFF or an EXIF block."""
    return ">" if block.startswith(b"MM") else "<"


def from_tiff(tiff: bytes) -> bytes | None:
    """The EXIF block that describes the picture in a TIFF file, or None without any such field."""
    fields = [field for field in _main_directory(tiff) if field.tag in _DESCRIPTIVE]
    header = b"II*\0\x08\0\0\0" if byte_order(tiff) == "<" else b"MM\0*\0\0\0\x08"
    return header + _pack(fields, len(header), _Layout.of(header)) if fields else None


def into_tiff(tiff: bytes, exif: bytes) -> bytes:
    """A TIFF file with the fields of an EXIF block of the same byte order added to its main directory.

    Nothing moves: the larger directory is appended, and the header points to it.
    """
    layout = _Layout.of(tiff)
    own = _main_directory(tiff)
    taken = {field.tag for field in own}
    new = [field for field in _main_directory(exif) if field.tag in _DESCRIPTIVE - taken]
    end = len(tiff) + len(tiff) % 2
    header = tiff[: layout.start_at] + struct.pack(layout.offset, end)
    return (header + tiff[len(header) :]).ljust(end, b"\0") + _pack(own + new, end, layout)


def _main_directory(tiff: bytes) -> list[_Field]:
    layout = _Layout.of(tiff)
    (start,) = struct.unpack_from(layout.offset, tiff, layout.start_at)
    return _read(tiff, start, layout, _SUB_DIRECTORIES)


def _read(tiff: bytes, at: int, layout: _Layout, children: _Tree) -> list[_Field]:
    (number,) = struct.unpack_from(layout.number, tiff, at)
    at += struct.calcsize(layout.number)
    size = struct.calcsize(layout.entry)
    entries = (struct.unpack_from(layout.entry, tiff, at + size * i) for i in range(number))
    return [_field(tiff, entry, layout, children) for entry in entries if entry[1] in _TYPE_SIZES]


def _field(tiff: bytes, entry: tuple[int, int, int, bytes], layout: _Layout, children: _Tree) -> _Field:
    tag, kind, count, value = entry
    size = _TYPE_SIZES[kind] * count
    if tag in children:
        order = byte_order(tiff)
        (start,) = struct.unpack(f"{order}{'Q' if size == 8 else 'I'}", value[:size])
        return _Field(tag, kind, count, _read(tiff, start, layout, children[tag]))
    if size > len(value):
        (start,) = struct.unpack(layout.offset, value)
        value = tiff[start : start + size]
    return _Field(tag, kind, count, value[:size])


def _pack(fields: list[_Field], at: int, layout: _Layout) -> bytes:
    """A directory that starts at ``at``: the table of entries, then the values that do not fit into it."""
    inline = struct.calcsize(layout.offset)
    number = struct.pack(layout.number, len(fields))
    values_at = at + len(number) + len(fields) * struct.calcsize(layout.entry) + inline
    table, values = b"", b""
    for tag, kind, count, value in sorted(fields, key=lambda field: field.tag):
        if isinstance(value, list):
            kind, value = layout.offset_type, _pack(value, values_at + len(values), layout)
        elif len(value) <= inline:
            table += struct.pack(layout.entry, tag, kind, count, value)
            continue
        offset = struct.pack(layout.offset, values_at + len(values))
        table += struct.pack(layout.entry, tag, kind, count, offset)
        values += value + b"\0" * (len(value) % 2)
    return number + table + b"\0" * inline + values
