"""Unlabelled images, their noisy views, and the batches that hold both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from noisewise._rng import place_generator
from noisewise.contracts import Noise
from noisewise.data.resized import ResizedImages
from noisewise.errors import ArgumentError
from noisewise.noise import parse_noise

__all__ = ["Calibration", "ImageSource", "Preprocess", "as_noises"]

Preprocess = Callable[[Tensor], Tensor]
ImageSource = Tensor | ResizedImages | Iterable[Tensor | ResizedImages | Sequence[Tensor]]


def as_noises(noise: str | Noise | Sequence[str | Noise]) -> list[Noise]:
    """Each of the given noises or specifications, one noisy view of every image."""
    several = [noise] if isinstance(noise, str | Noise) else list(noise)
    if not several:
        raise ArgumentError("expected at least one noise to harden against, got none; try 'gaussian:sigma=20'")
    return [parse_noise(one) if isinstance(one, str) else one for one in several]


@dataclass(frozen=True)
class Calibration:
    """Views of unlabelled images, in chunks.

    A chunk of n images is one batch of ``(1 + V) n``: the clean images for the teacher and the V views for the student,
    view by view. The noise of an image depends on seed, view and its own place in the set alone.

    Attributes:
        images: ``N x C x H x W`` in [0, 1], or an iterable of such batches, of pairs of batch and label, or of images;
            files of either may stay unread until their chunk comes.
        noises: of the noisy views.
        preprocess: maps pixels to the network's input.
        clean_weight: weight of a clean view of the student beside 1 for each noisy view; 0 leaves it out.
        chunk: number of images that pass at once; None for all.
        seed: of the noise.
        device: of the network.
        dtype: of the network, to which what it takes is cast.
        first: place of the first image, in a part of a larger set.
        total: number of images of the larger set.
    """

    images: ImageSource
    noises: Sequence[Noise]
    preprocess: Preprocess
    clean_weight: float
    chunk: int | None
    seed: int
    device: torch.device
    dtype: torch.dtype
    first: int = 0
    total: int | None = None

    def __post_init__(self) -> None:
        if self.clean_weight < 0:
            raise ArgumentError(f"expected clean_weight >= 0, got {self.clean_weight}")
        if self.chunk is not None and self.chunk < 1:
            raise ArgumentError(f"expected chunks of at least one image, got {self.chunk}")
        if self.chunk is not None and isinstance(self.images, Iterator):
            raise ArgumentError(
                "chunks are read again for every layer, and an iterator can be read once; pass a list, "
                "a DataLoader, or leave chunk out"
            )

    @property
    def weights(self) -> list[float]:
        """Of the student's views."""
        return [self.clean_weight] * bool(self.clean_weight) + [1.0] * len(self.noises)

    @cached_property
    def size(self) -> int:
        """Number of images, of the larger set in a part of it."""
        return sum(len(piece) for piece in self._pieces()) if self.total is None else self.total

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Which images each chunk holds, and its batch of views as the network takes it."""
        first = self.first
        for piece in self._pieces():
            pixels = _pixels(piece)
            yield slice(first, first + len(pixels)), self._views(pixels, first)
            first += len(pixels)

    def parts(self) -> Iterator[Calibration]:
        """The chunks, each a set of its own that knows its place in this one."""
        first = self.first
        for piece in self._pieces():
            alone = piece.clone() if isinstance(piece, Tensor) else piece  # a view takes all pixels along where it goes
            yield replace(self, images=alone, first=first, total=self.size)
            first += len(piece)

    def without_images(self) -> Calibration:
        """All but the images, for what needs no more than their number."""
        return replace(self, images=(), total=self.size)

    def two_images(self) -> tuple[Tensor, Tensor]:
        """The first image and its negative, as the network takes them."""
        piece = next(self._pieces(), None)
        if piece is None:
            raise ArgumentError("expected at least one image to fit on, got none; check the folder or the loader")
        first = _pixels(piece[:1])
        return self._input(first), self._input(1 - first)

    def _views(self, pixels: Tensor, first: int) -> Tensor:
        noisy = [self._corrupted(pixels, view, first) for view in range(len(self.noises))]
        clean = [pixels] * (2 if self.clean_weight else 1)
        return self._input(torch.cat([*clean, *noisy]))

    def _input(self, pixels: Tensor) -> Tensor:
        return self.preprocess(pixels.to(self.device)).to(self.dtype)

    def _corrupted(self, pixels: Tensor, view: int, first: int) -> Tensor:
        """One noisy view, drawn image by image so that it does not depend on the chunks."""
        generators = (place_generator(self.seed, view, first + i) for i in range(len(pixels)))
        pairs = zip(torch.split(pixels, 1), generators, strict=True)
        return torch.cat([self.noises[view](image, generator=generator) for image, generator in pairs])

    def _pieces(self) -> Iterator[Tensor | ResizedImages]:
        """The pixels on the CPU or their files, whole or in chunks."""
        if self.chunk is None:
            if len(self._whole):
                yield self._whole
            return
        for batch in self._batches():
            unread = batch if isinstance(batch, ResizedImages) else _pixels(batch)
            yield from (piece for piece in unread.split(self.chunk) if len(piece))

    def _batches(self) -> Iterable[Tensor | ResizedImages | Sequence[Tensor]]:
        return [self.images] if isinstance(self.images, Tensor | ResizedImages) else self.images

    @cached_property
    def _whole(self) -> Tensor:
        batches = [_pixels(batch) for batch in self._batches()]
        try:
            return torch.cat(batches) if batches else torch.empty(0)
        except RuntimeError as reason:
            raise ArgumentError(f"expected images of one size; resize them first: {reason}") from reason


def _pixels(batch: Tensor | ResizedImages | Sequence[Tensor]) -> Tensor:
    """The images of a batch, without labels, ``B x C x H x W`` on the CPU."""
    if isinstance(batch, ResizedImages):
        return batch.load()
    images = batch[0] if isinstance(batch, list | tuple) and batch else batch
    if not isinstance(images, Tensor):
        raise ArgumentError(
            f"expected batches of images as tensors, or pairs of these and labels, got {type(images).__name__}; "
            "give the data set a transform to tensors, or take the images out of what it yields"
        )
    pixels = images[None] if images.ndim == 3 else images
    if pixels.ndim != 4 or not pixels.is_floating_point():
        raise ArgumentError(
            f"expected floating images B x C x H x W in [0, 1], got {tuple(images.shape)} of {images.dtype}; "
            "divide integers by 255"
        )
    low, high = (float(end) for end in pixels.aminmax()) if pixels.numel() else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise ArgumentError(
            f"expected pixels in [0, 1], got values from {low:.3g} to {high:.3g}; pass images before normalisation, "
            "the preprocessing comes after the noise"
        )
    return pixels.cpu()
