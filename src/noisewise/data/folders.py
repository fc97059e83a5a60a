"""Find images in files and folders, and say where the result of each goes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from noisewise.data.formats import SUFFIXES, has_image_suffix
from noisewise.errors import ArgumentError

__all__ = ["Source", "find_images", "image_paths", "output_paths"]


@dataclass(frozen=True)
class Source:
    """An image to be processed.

    Attributes:
        path: where it is.
        relative: its path below the folder that it was found in; of a file named itself, the file name.
    """

    path: Path
    relative: Path


def find_images(inputs: Iterable[str | Path]) -> list[Source]:
    """The images that files and folders name, in the order of ``inputs`` and sorted within a folder.

    Folders are searched to any depth for files with a known suffix; hidden files and folders are skipped. A file that
    is named itself is always taken. What is named twice is taken once.

    Raises:
        ArgumentError: no inputs, an input that does not exist, or a folder without images.
    """
    found: dict[str, Source] = {}
    for item in map(Path, inputs):
        for source in _sources(item):
            found.setdefault(os.path.abspath(source.path), source)  # noqa: PTH100 - resolve() would merge links
    if not found:
        raise ArgumentError("expected image files or folders, but none came; name at least one")
    return list(found.values())


def image_paths(folder: Path) -> list[Path]:
    """The images below ``folder``, relative to it, sorted; hidden files and folders are skipped."""
    return sorted(path.relative_to(folder) for path in _visible_files(folder) if has_image_suffix(path))


def output_paths(sources: Sequence[Source], output: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Where the result of each source goes, in their order.

    One source and an ``output`` with an image suffix: that file. Otherwise ``output`` is a folder, in which each
    source keeps its relative path.

    Raises:
        ArgumentError: two sources share an output, an output is the input of another source, an output is its own
            input and ``overwrite`` is False, or several sources are to go into what looks like one file.
    """
    targets = _targets(sources, Path(output))
    _refuse_shared(sources, targets)
    _refuse_inputs(sources, targets, overwrite=overwrite)
    return targets


def _sources(item: Path) -> list[Source]:
    if not item.is_dir():
        if not item.exists():
            raise ArgumentError(f"there is no file or folder {item}; check the spelling")
        return [Source(item, Path(item.name))]
    sources = [Source(item / relative, relative) for relative in image_paths(item)]
    if not sources:
        raise ArgumentError(f"there are no images ({', '.join(SUFFIXES)}) in {item}; name another folder")
    return sources


def _visible_files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in files if not name.startswith("."))


def _refuse_unreadable(reason: OSError) -> None:
    raise ArgumentError(f"cannot search {reason.filename}: {reason.strerror}; check its permissions") from reason


def _targets(sources: Sequence[Source], output: Path) -> list[Path]:
    if len(sources) == 1 and output.suffix and not (output.exists() or has_image_suffix(output)):
        mend = f"choose {', '.join(SUFFIXES)}, or a folder that exists or has no suffix"
        raise ArgumentError(f"{output.suffix!r} of {output} names no format; {mend}")
    if output.is_dir() or not has_image_suffix(output):
        return [output / source.relative for source in sources]
    if len(sources) != 1:
        raise ArgumentError(f"{len(sources)} images cannot go into the one file {output}; name a folder")
    return [output]


def _refuse_shared(sources: Sequence[Source], targets: Sequence[Path]) -> None:
    first: dict[Path, Source] = {}
    for source, target in zip(sources, targets, strict=True):
        other = first.setdefault(target, source)
        if other is not source:
            both = f"{other.path} and {source.path}"
            raise ArgumentError(f"{both} would both be written to {target}; process them one by one")


def _refuse_inputs(sources: Sequence[Source], targets: Sequence[Path], *, overwrite: bool) -> None:
    # realpath sees through links, so that a link cannot smuggle an input in.
    owners = {os.path.realpath(source.path): source for source in sources}
    for source, target in zip(sources, targets, strict=True):
        owner = owners.get(os.path.realpath(target))
        if owner is source and not overwrite:
            raise ArgumentError(
                f"{target} is its own input; choose another output, or pass --overwrite (overwrite=True)"
            )
        if owner is not None and owner is not source:
            clash = f"the result of {source.path} would overwrite the input {owner.path}"
            raise ArgumentError(f"{clash}; choose another output folder")
