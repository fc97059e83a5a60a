"""Cut an image of any size into overlapping tiles, so that memory depends on the tile and not on the image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Tile", "tiles"]


class Tile(NamedTuple):
    """One tile: what to read, what of the result to keep, and where that belongs. All are (rows, columns) slices."""

    read: tuple[slice, slice]
    """The core and its halo, within the image."""
    keep: tuple[slice, slice]
    """The core, within what was read."""
    write: tuple[slice, slice]
    """The core, within the image."""


def tiles(height: int, width: int, core: int, halo: int) -> Iterator[Tile]:
    """Tiles whose cores cover the image exactly once, in reading order.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        core: side of a core.
        halo: pixels read around a core on every side that the image has; what is further away does not count.
    """
    for rows in _spans(height, core, halo):
        for columns in _spans(width, core, halo):
            yield Tile(*zip(rows, columns, strict=True))


def _spans(length: int, core: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    for start in range(0, length, core):
        stop = min(start + core, length)
        first, last = max(0, start - halo), min(length, stop + halo)
        yield slice(first, last), slice(start - first, stop - first), slice(start, stop)
