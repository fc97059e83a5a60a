"""Noisy photographs and their clean counterparts, in the folder layouts of the public sets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from noisewise._registry import Registry
from noisewise.data.folders import image_paths
from noisewise.errors import DatasetError

__all__ = ["LAYOUTS", "Layout", "Pair", "find_pairs"]

_SHOWN = 5


@dataclass(frozen=True)
class Pair:
    """A noisy image and its clean counterpart.

    Attributes:
        name: what the two paths share, unique within a set.
        noisy_path: the noisy image.
        clean_path: the clean image.
    """

    name: str
    noisy_path: Path
    clean_path: Path


@dataclass(frozen=True)
class Layout:
    """How a set names its files.

    Patterns match whole relative paths with ``/`` as separator, in any case; a noisy and a clean path belong together
    when their groups are equal.

    Attributes:
        noisy: regular expression of the noisy images.
        clean: regular expression of the clean images, with the same groups.
        expects: the layout in words, for error messages.
    """

    noisy: str
    clean: str
    expects: str


LAYOUTS: Registry[Layout] = Registry("pair layout")
"""Layouts by name; register one to read a set of your own."""

# SIDD: Abdelhamed et al., CVPR 2018. PolyU: Xu et al., arXiv:1804.02603. CC: Nam et al., CVPR 2016.
LAYOUTS.register("sidd")(
    Layout(
        r"(.*?)(?:\d+_)?NOISY_SRGB_(\d+)\.png",
        r"(.*?)(?:\d+_)?GT_SRGB_(\d+)\.png",
        "*/NOISY_SRGB_*.PNG beside GT_SRGB_*.PNG",
    )
)
LAYOUTS.register("polyu")(Layout(r"(.*)_real\.jpe?g", r"(.*)_mean\.jpe?g", "*_real.JPG beside *_mean.JPG"))
LAYOUTS.register("cc")(Layout(r"(.*)_real\.png", r"(.*)_mean\.png", "*_real.png beside *_mean.png"))
LAYOUTS.register("folders")(
    Layout(
        r"(?:noisy|input)/(.+)\.\w+",
        r"(?:clean|gt|groundtruth)/(.+)\.\w+",
        "noisy/ or input/ beside clean/, gt/ or groundtruth/, with the same names but for the suffix",
    )
)


def find_pairs(folder: str | Path, layout: str = "auto") -> list[Pair]:
    """The clean-noisy pairs below ``folder``, sorted by name.

    Args:
        folder: where the set lies.
        layout: a name of `LAYOUTS`, or ``"auto"`` for the first layout that finds a pair.

    Raises:
        DatasetError: no such folder, no pairs, an image without its counterpart, or two images for one place.
        UnknownNameError: no such layout.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}; check the spelling")
    candidates = list(LAYOUTS.values()) if layout == "auto" else [LAYOUTS[layout]]
    paths = image_paths(folder)
    for candidate in candidates:
        noisy, clean = _by_name(candidate.noisy, paths), _by_name(candidate.clean, paths)
        if noisy.keys() & clean.keys():
            return _paired(folder, noisy, clean)
    raise DatasetError(_nothing_found(folder, candidates, paths))


def _by_name(pattern: str, paths: Iterable[Path]) -> dict[str, Path]:
    """The paths that match, by their joined groups."""
    found: dict[str, Path] = {}
    for path in paths:
        if match := re.fullmatch(pattern, path.as_posix(), re.IGNORECASE):
            other = found.setdefault("".join(match.groups()), path)
            if other != path:
                raise DatasetError(f"{other} and {path} stand for the same image; remove one of them")
    return found


def _paired(folder: Path, noisy: dict[str, Path], clean: dict[str, Path]) -> list[Pair]:
    alone = sorted((noisy | clean)[name] for name in noisy.keys() ^ clean.keys())
    if alone:
        raise DatasetError(f"without a counterpart in {folder}: {_listed(alone)}; add or remove them")
    return [Pair(name, folder / noisy[name], folder / clean[name]) for name in sorted(noisy)]


def _nothing_found(folder: Path, candidates: Iterable[Layout], paths: list[Path]) -> str:
    expected = "; or ".join(layout.expects for layout in candidates)
    found = f"{len(paths)} images: {_listed(paths)}" if paths else "no images"
    return f"expected pairs in {folder} ({expected}), but found {found}; rename the files, or register a layout"


def _listed(paths: list[Path]) -> str:
    shown = ", ".join(path.as_posix() for path in paths[:_SHOWN])
    return shown if len(paths) <= _SHOWN else f"{shown} and {len(paths) - _SHOWN} more"
