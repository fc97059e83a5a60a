"""Run a classifier over a data set, clean or noisy, and say for each image whether it was right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Integer
from torch import Tensor, nn

from noisewise.contracts import Noise
from noisewise.errors import ArgumentError
from noisewise.measure.classification import top_k_correct
from noisewise.measure.statistics import Interval, paired_bootstrap
from noisewise.models.backbones import logits
from noisewise.models.preprocess import network_input
from noisewise.tasks.comparable import Progress, ignored
from noisewise.tasks.noisy_batches import Preprocess, add_noise, evaluation_mode

__all__ = ["Batches", "Correctness", "Preprocess", "accuracy_difference", "evaluate"]

Batches: TypeAlias = Iterable[tuple[Tensor, Tensor]]
"""Images ``B x C x H x W`` in [0, 1] with their class indices, such as a DataLoader that does not shuffle."""


@dataclass(frozen=True, eq=False)
class Correctness:
    """What a classifier got right, in the order of the images.

    Attributes:
        top1: whether the label had the highest score.
        top5: whether it was among the five highest.
        labels: the class indices.
    """

    top1: Bool[Tensor, " images"]
    top5: Bool[Tensor, " images"]
    labels: Integer[Tensor, " images"]

    @property
    def top1_accuracy(self) -> float:
        """Top-1 accuracy in percent."""
        return 100 * self.top1.double().mean().item()

    @property
    def top5_accuracy(self) -> float:
        """Top-5 accuracy in percent."""
        return 100 * self.top5.double().mean().item()


def evaluate(
    model: nn.Module,
    batches: Batches,
    *,
    noise: Noise | None = None,
    seed: int = 0,
    preprocess: Preprocess | None = None,
    progress: Progress = ignored,
) -> Correctness:
    """What ``model`` gets right, in evaluation mode, on its own device and in its own dtype.

    Args:
        model: from images to logits ``B x K``, or to an object that has them as ``logits``; left in the mode it was in.
        batches: images in [0, 1] and labels, in the same order on every pass.
        noise: what corrupts the images, if anything; drawn for each image from ``seed`` and its place in the data set,
            so that neither the batch size nor the device of the model matters, and all models see the same pixels.
        seed: of the noise.
        preprocess: from the pixels, corrupted or not, to the input of the network; nothing if None.
        progress: called after each batch with the number of images done.

    Raises:
        ArgumentError: no batch came, images that are not floating, no logits, or as for `top_k_correct`.
    """
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    done = 0
    with evaluation_mode(model), torch.inference_mode():
        for images, labels in batches:
            pixels = images if noise is None else add_noise(images, noise, seed, first=done)
            scores = _scores(model, pixels, preprocess).cpu()
            labels = labels.cpu()
            parts.append((top_k_correct(scores, labels), top_k_correct(scores, labels, 5), labels))
            done += len(labels)
            progress(done)
    return _joined(parts)


def accuracy_difference(first: Correctness, second: Correctness, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Top-1 accuracy of ``first`` less that of ``second`` in percentage points, with its paired bootstrap interval.

    Args:
        first: of one model, or under one noise.
        second: of the other, on the same images in the same order.
        level: confidence level, in (0, 1).
        seed: of the resampling.

    Raises:
        ArgumentError: the labels differ, so the images must, or as for `paired_bootstrap`.
    """
    if not torch.equal(first.labels, second.labels):
        raise ArgumentError(
            f"expected the same images in the same order, got {len(first.labels)} and {len(second.labels)} images "
            "with different labels; evaluate both on one loader that does not shuffle"
        )
    points = [100 * result.top1.double().numpy() for result in (first, second)]
    return paired_bootstrap(*points, level=level, seed=seed)


def _scores(model: nn.Module, pixels: Tensor, preprocess: Preprocess | None) -> Tensor:
    if not pixels.is_floating_point():
        raise ArgumentError(f"expected floating images in [0, 1], got {pixels.dtype}; divide by the maximum first")
    return logits(model(network_input(model, pixels, preprocess)))


def _joined(parts: list[tuple[Tensor, Tensor, Tensor]]) -> Correctness:
    if not parts:
        raise ArgumentError(
            "expected batches of images and labels, got none; pass a DataLoader or a list, "
            "since an iterator is empty on its second pass"
        )
    top1, top5, labels = map(torch.cat, zip(*parts, strict=True))
    return Correctness(top1, top5, labels)
