"""Sets of images as visitors send them: files, or a zip of them, unpacked within limits."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from noisewise.data import find_images
from noisewise.data.formats import has_image_suffix
from noisewise.data.reading import require_pixels
from noisewise.demo.web.limits import Limits
from noisewise.errors import ArgumentError, DatasetError, LimitError

__all__ = ["class_folder", "require_kept", "uploaded_images"]


def uploaded_images(uploads: Sequence[str] | None, folder: Path, limits: Limits) -> list[Path]:
    """The images among ``uploads`` and in the zips among them, which are unpacked into ``folder``.

    Raises:
        ArgumentError: nothing was uploaded, it was swept away, or a zip without images.
        DatasetError: a zip that cannot be unpacked.
        LimitError: too many images, or too many bytes in a zip.
        UnreadableImageError: an image is too large, or none.
    """
    if not uploads:
        raise ArgumentError("there are no images yet; drop some, or a zip of them, first")
    require_kept(uploads, limits)
    archives = [Path(upload) for upload in uploads if Path(upload).suffix.lower() == ".zip"]
    room = limits.bytes
    for number, archive in enumerate(archives):
        room -= _unpack(archive, folder / str(number), room, limits)
    files = [Path(upload) for upload in uploads if Path(upload) not in archives]
    images = files + [source.path for source in (find_images([folder]) if archives else [])]
    _require_count(len(images), limits)
    for image in images:
        require_pixels(image, limits.pixels)
    return images


def require_kept(uploads: Sequence[str], limits: Limits) -> None:
    """Check that no upload was swept away while its request waited.

    Raises:
        ArgumentError: one was.
    """
    if not all(Path(upload).exists() for upload in uploads):
        raise ArgumentError(f"what you dropped is gone after {limits.minutes} minutes; drop it again")


def class_folder(folder: Path) -> Path:
    """The folder with one for each class: below ``folder``, where a zip holds the data set's own folder, too."""
    inside = list(folder.iterdir())
    if len(inside) == 1 and inside[0].is_dir():
        return class_folder(inside[0])
    return folder


def _unpack(archive: Path, folder: Path, room: int, limits: Limits) -> int:
    """Bytes that came out of it."""
    try:
        with ZipFile(archive) as file:
            images = [info for info in file.infolist() if _is_image(info)]
            size = sum(info.file_size for info in images)
            _require_bearable(archive, len(images), size <= room, limits)
            for info in images:
                file.extract(info, folder)  # drops what would lead out of the folder, and reads no more than announced
    except (BadZipFile, zlib.error, lzma.LZMAError, OSError, RuntimeError, EOFError, UnicodeError) as reason:
        raise DatasetError(
            f"expected a zip of images, {archive.name} cannot be unpacked ({reason}); pack it anew, without a password"
        ) from reason
    return size


def _is_image(info: ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and not info.is_dir() and has_image_suffix(Path(path.name))


def _require_bearable(archive: Path, count: int, fits: bool, limits: Limits) -> None:
    if not count:
        raise ArgumentError(f"there are no images in {archive.name}; pack PNG, JPEG, TIFF or WebP files")
    _require_count(count, limits)
    if not fits:
        raise LimitError(f"{archive.name} unpacks to more than the {limits.megabytes} MB allowed; send fewer images")


def _require_count(count: int, limits: Limits) -> None:
    if count > limits.images:
        raise LimitError(f"these are {count} images, and {limits.images} are allowed; send fewer of them")
