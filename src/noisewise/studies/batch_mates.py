"""Do a sample's batch mates matter? Tested without labels: the same samples, at the same places, among others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.statistics import student_interval

__all__ = ["MatesTest", "Predictor", "images_of", "predicted", "swap_batch_mates", "tolerance"]

Predictor = Callable[[Tensor], Tensor]
"""From a batch of images to a row of scores for each."""

_ROUNDS = 8
_SHARE_OF_SPREAD = 1e-2
_SHARE_OF_SIZE = 1e-3


@dataclass(frozen=True)
class MatesTest:
    """How far the scores of a sample move, in the mean, as a share of the distance between two samples' scores.

    Attributes:
        swapped: when its batch mates are swapped for others.
        repeated: when the same batch is predicted again; 0 for a predictor without randomness.
        deterministic: whether what is repeated stays within the tolerance of rounding.
        depends: whether swapping moves more than repeating and rounding can explain.
    """

    swapped: float
    repeated: float
    deterministic: bool
    depends: bool


def swap_batch_mates(predict: Predictor, dataset: Dataset[Any], *, batch_size: int = 64, seed: int = 0) -> MatesTest:
    """Predict the same samples among two disjoint sets of batch mates, and once more among the first.

    Args:
        predict: any predictor.
        dataset: of images, or of images with labels, which are not looked at.
        batch_size: at most two thirds of the samples; half of a batch, at random places, are the samples watched.
        seed: of the choice of samples and places.

    Raises:
        ArgumentError: fewer than three samples, fewer than two to a batch, or as for `predicted`.
    """
    count = len(dataset)  # type: ignore[arg-type]
    if count < 3 or batch_size < 2:
        raise ArgumentError(
            f"expected at least three samples and batches of two, got {count} and {batch_size}; "
            "one sample has no mates to swap"
        )
    size, generator = min(batch_size, 2 * count // 3), make_generator(seed)
    parts = [_one_round(predict, dataset, size, generator) for _ in range(_ROUNDS)]
    return _judged(*map(torch.stack, zip(*parts, strict=True)))


def predicted(predict: Predictor, images: Tensor) -> Float[Tensor, "batch scores"]:
    """The scores of a batch, on the CPU; to a network the images go on its own device.

    Raises:
        ArgumentError: there is not one row for each image, or a score is not finite.
    """
    if isinstance(predict, nn.Module):
        images = images.to(next(predict.parameters(), images).device)
    with torch.inference_mode():
        scores = predict(images)
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(images):
        came = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ArgumentError(f"expected a row of scores for each of {len(images)} images, got {came}")
    if not scores.isfinite().all():
        raise ArgumentError("expected finite scores, got NaN or infinity; check the preprocessing, or leave masks out")
    return scores.cpu() if scores.is_floating_point() else scores.cpu().float()


def images_of(item: Any) -> Any:
    """The image of an item of a data set, or the images of a batch, with or without labels."""
    return item[0] if isinstance(item, tuple | list) else item


def tolerance(scores: Float[Tensor, "samples scores"]) -> float:
    """How far scores may move by rounding alone.

    The larger of a hundredth of the distance between two samples and a thousandth of the size of the scores, more in
    half precision. What moves less is too little to matter.
    """
    epsilon = torch.finfo(scores.dtype).eps
    spread = _distance(scores, scores.roll(1, dims=0)).median().item()
    size = scores.double().norm(dim=1).median().item()
    limits = max(_SHARE_OF_SPREAD, 10 * epsilon) * spread, max(_SHARE_OF_SIZE, 4 * epsilon) * size
    return float(max(limits))


def _one_round(
    predict: Predictor, dataset: Dataset[Any], size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the watched samples among some mates, among the same again, and among others."""
    watched = size // 2
    places = torch.randperm(size, generator=generator)
    chosen = torch.randperm(len(dataset), generator=generator)  # type: ignore[arg-type]
    parts = [watched, size - watched, size - watched]
    probes, some, others = torch.split(chosen[: sum(parts)], parts)
    batches = [torch.cat([probes, mates])[places.argsort()] for mates in (some, some, others)]
    first, again, swapped = (predicted(predict, _load(dataset, batch))[places[:watched]] for batch in batches)
    return first, again, swapped


def _load(dataset: Dataset[Any], indices: Tensor) -> Tensor:
    images: Tensor = default_collate([images_of(dataset[index]) for index in indices.tolist()])
    return images


def _judged(first: Tensor, again: Tensor, swapped: Tensor) -> MatesTest:
    """What scores ``rounds x watched x scores`` say; rounds are the units, for a batch may share its randomness."""
    limit = tolerance(first.flatten(0, 1))
    repeated, moved = (_distance(first, other) for other in (again, swapped))
    excess = student_interval((moved - repeated).mean(1).numpy(), level=0.99)
    scale = _distance(first, first.roll(1, dims=1 if first.shape[1] > 1 else 0)).mean().item() or 1.0
    return MatesTest(
        swapped=moved.mean().item() / scale,
        repeated=repeated.mean().item() / scale,
        deterministic=bool(repeated.median() <= limit),
        depends=excess.low > 0 and excess.mean > limit,
    )


def _distance(first: Tensor, second: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm((first - second).double(), dim=-1)
    return distance
