"""Do a sample's batch mates matter? Tested without labels: the same samples, at the same places, among others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset, Subset, default_collate

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.statistics import bootstrap_mean

__all__ = ["MatesTest", "Predictor", "images_of", "predicted", "swap_batch_mates", "tolerance"]

Predictor = Callable[[Tensor], Tensor]
"""From a batch of images to a row of scores for each."""

_PROBES = 64
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
    """Predict the same samples among two sets of batch mates, and once more among the first.

    Args:
        predict: any predictor.
        dataset: of images, or of images with labels, which are not looked at.
        batch_size: at most the number of samples; half of a batch, at random places, are the samples watched.
        seed: of the choice of samples and places.

    Raises:
        ArgumentError: fewer than two samples or places in a batch.
    """
    count = len(dataset)  # type: ignore[arg-type]
    batch_size = min(batch_size, count)
    if batch_size < 2:
        raise ArgumentError(f"expected at least two samples to a batch, got {batch_size}; one sample has no mates")
    generator = make_generator(seed)
    rounds = math.ceil(_PROBES / (batch_size // 2))
    parts = [_one_round(predict, dataset, batch_size, generator) for _ in range(rounds)]
    first, again, swapped = map(torch.cat, zip(*parts, strict=True))
    return _judged(first, again, swapped)


def predicted(predict: Predictor, images: Tensor) -> Float[Tensor, "batch scores"]:
    """The scores of a batch, on the CPU.

    Raises:
        ArgumentError: there is not one row for each image.
    """
    with torch.inference_mode():
        scores = predict(images)
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(images):
        came = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ArgumentError(f"expected a row of scores for each of {len(images)} images, got {came}")
    return scores.cpu()


def images_of(item: Any) -> Any:
    """The image of an item of a data set, or the images of a batch, with or without labels."""
    return item[0] if isinstance(item, tuple | list) else item


def tolerance(scores: Float[Tensor, "samples scores"]) -> float:
    """How far scores may move by rounding alone.

    The larger of a hundredth of the distance between two samples and a thousandth of the size of the scores, more in
    half precision. What moves less is too little to matter.
    """
    epsilon = torch.finfo(scores.dtype).eps
    spread = (scores - scores.roll(1, dims=0)).double().norm(dim=1).median().item()
    size = scores.double().norm(dim=1).median().item()
    limits = max(_SHARE_OF_SPREAD, 10 * epsilon) * spread, max(_SHARE_OF_SIZE, 4 * epsilon) * size
    return float(max(limits))


def _one_round(
    predict: Predictor, dataset: Dataset[Any], batch_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    watched = batch_size // 2
    places = torch.randperm(batch_size, generator=generator)
    chosen = torch.randperm(len(dataset), generator=generator)  # type: ignore[arg-type]
    probes, others = chosen[:watched], chosen[watched:]
    mates = [others[torch.randperm(len(others), generator=generator)[: batch_size - watched]] for _ in range(2)]
    batches = [torch.cat([probes, some])[places.argsort()] for some in (mates[0], mates[0], mates[1])]
    first, again, swapped = (predicted(predict, _load(dataset, batch))[places[:watched]] for batch in batches)
    return first, again, swapped


def _load(dataset: Dataset[Any], indices: Tensor) -> Tensor:
    subset = Subset(dataset, indices.tolist())
    images: Tensor = default_collate([images_of(subset[index]) for index in range(len(subset))])
    return images


def _judged(first: Tensor, again: Tensor, swapped: Tensor) -> MatesTest:
    limit = tolerance(first)
    repeated, moved = ((other - first).double().norm(dim=1) for other in (again, swapped))
    spread = (first - first.roll(1, dims=0)).double().norm(dim=1).mean().item() or 1.0
    excess = bootstrap_mean((moved - repeated).numpy(), resamples=2000, level=0.99)
    return MatesTest(
        swapped=moved.mean().item() / spread,
        repeated=repeated.mean().item() / spread,
        deterministic=bool(repeated.median() <= limit),
        depends=excess.low > 0 and excess.mean > limit,
    )
