"""Do a sample's batch mates matter? Tested without labels: the same samples, at the same places, among others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.models.backbones import logits
from noisewise.models.preprocess import network_input

__all__ = [
    "MatesTest",
    "Predictor",
    "images_of",
    "network_predictor",
    "predicted",
    "rounding",
    "swap_batch_mates",
    "tolerance",
]

Predictor = Callable[[Tensor], Tensor]
"""From a batch of images to a row of scores for each."""

Scores = Float[Tensor, "rounds watched scores"]

_ROUNDS, _ROUNDS_OF_RANDOM = 8, 32
_FALSE_ALARMS = 1e-5  # needs 24 rounds at least, see _chance
_SHARE_OF_SPREAD = 1e-2
_EPSILONS = 4


class _Round(NamedTuple):
    """Scores of the watched samples among some mates and among others, each predicted twice."""

    first: Tensor
    again: Tensor
    swapped: Tensor
    swapped_again: Tensor


@dataclass(frozen=True)
class MatesTest:
    """How far the scores of a sample move, in the mean, as a share of the distance between two samples' scores.

    Attributes:
        swapped: when its batch mates are swapped for others.
        repeated: when the same batch is predicted again; 0 for a predictor without randomness.
        deterministic: whether what is repeated stays within the tolerance, for every sample.
        depends: whether swapping moves more than randomness and rounding can explain. A random predictor that mixes
            nothing is taken for one that does with a probability of at most 1e-5.
    """

    swapped: float
    repeated: float
    deterministic: bool
    depends: bool


def swap_batch_mates(predict: Predictor, dataset: Dataset[Any], *, batch_size: int = 64, seed: int = 0) -> MatesTest:
    """Predict the same samples among two disjoint sets of batch mates, twice among each.

    In eight rounds; a predictor that turns out to be random is asked in 24 more.

    Args:
        predict: any predictor.
        dataset: of images, or of images with labels, which are not looked at.
        batch_size: at most two thirds of the samples; half of a batch, at random places, are the samples watched.
        seed: of the choice of samples and places.

    Raises:
        ArgumentError: fewer than three samples, fewer than two to a batch, or scores that are not finite or of another
            length.
    """
    count = len(dataset)  # type: ignore[arg-type]
    if count < 3 or batch_size < 2:
        raise ArgumentError(
            f"expected at least three samples and batches of two, got {count} and {batch_size}; "
            "one sample has no mates to swap"
        )
    size, generator = min(batch_size, 2 * count // 3), make_generator(seed)
    rounds = [_one_round(predict, dataset, size, generator) for _ in range(_ROUNDS)]
    if not _judged(rounds).deterministic:
        rounds += [_one_round(predict, dataset, size, generator) for _ in range(_ROUNDS_OF_RANDOM - _ROUNDS)]
    return _judged(rounds)


def network_predictor(network: nn.Module, preprocess: Callable[[Tensor], Tensor] | None) -> Predictor:
    """What an audit asks of a network: from pixels in [0, 1] to its logits, on its own device."""
    return lambda pixels: logits(network(network_input(network, pixels, preprocess)))


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
        raise ArgumentError(
            f"expected a row of scores for each of {len(images)} images, got {came}; return a tensor B x K with a row "
            "for every image of the batch, in its order"
        )
    if not scores.isfinite().all():
        raise ArgumentError("expected finite scores, got NaN or infinity; check the preprocessing, or leave masks out")
    return scores.cpu() if scores.is_floating_point() else scores.cpu().float()


def images_of(item: Any) -> Any:
    """The image of an item of a data set, or the images of a batch, with or without labels."""
    return item[0] if isinstance(item, tuple | list) else item


def rounding(scores: Float[Tensor, "samples scores"], share: float = 0.0) -> float:
    """How far scores may move by rounding alone: a share of their size, or four steps of their dtype if that is more.

    Args:
        scores: of some samples.
        share: 0 between batches of one shape, which one and the same kernel computes; more between others.
    """
    size = scores.double().norm(dim=1).median().item()
    return float(max(share, _EPSILONS * torch.finfo(scores.dtype).eps) * size)


def tolerance(scores: Float[Tensor, "samples scores"], share: float = 0.0) -> float:
    """How far scores may move without notice: by :func:`rounding`, or by too little to matter.

    That is a hundredth of the distance between two samples, in which an offset that all of them share is not seen;
    more in half precision.
    """
    spread = _distance(scores, scores.roll(1, dims=0)).median().item()
    noticed = max(_SHARE_OF_SPREAD, 10 * torch.finfo(scores.dtype).eps) * spread
    return float(max(noticed, rounding(scores, share)))


def _one_round(predict: Predictor, dataset: Dataset[Any], size: int, generator: torch.Generator) -> _Round:
    watched = size // 2
    places = torch.randperm(size, generator=generator)
    chosen = torch.randperm(len(dataset), generator=generator)  # type: ignore[arg-type]
    parts = [watched, size - watched, size - watched]
    probes, some, others = torch.split(chosen[: sum(parts)], parts)
    batches = [torch.cat([probes, mates])[places.argsort()] for mates in (some, some, others, others)]
    return _Round(*(predicted(predict, _load(dataset, batch))[places[:watched]] for batch in batches))


def _load(dataset: Dataset[Any], indices: Tensor) -> Tensor:
    images: Tensor = default_collate([images_of(dataset[index]) for index in indices.tolist()])
    return images


def _judged(rounds: list[_Round]) -> MatesTest:
    first, again, swapped, swapped_again = (torch.stack(scores) for scores in zip(*rounds, strict=True))
    limit = tolerance(first.flatten(0, 1))
    repeated = torch.cat([_distance(first, again), _distance(swapped, swapped_again)])
    moves, deterministic = _common_moves(first, again, swapped, swapped_again), bool((repeated <= limit).all())
    scale = _distance(first, first.roll(1, dims=1 if first.shape[1] > 1 else 0)).mean().item() or 1.0
    return MatesTest(
        swapped=_distance(first, swapped).mean().item() / scale,
        repeated=repeated.mean().item() / scale,
        deterministic=deterministic,
        depends=moves.mean().item() > limit and (deterministic or _chance(moves) <= _FALSE_ALARMS),
    )


def _common_moves(first: Scores, again: Scores, swapped: Scores, swapped_again: Scores) -> Float[Tensor, " rounds"]:
    """How far swapping moves the scores in common: ``sign(P) sqrt|P|``, P the mean product of the two moves.

    Without randomness that is the root mean square of the moves. Randomness alone gives both signs alike: all four are
    draws of one distribution then, and exchanging ``first`` and ``swapped`` turns the sign round.
    """
    products = ((first.double() - swapped) * (again.double() - swapped_again)).sum(2).mean(1)
    return products.sign() * products.abs().sqrt()


def _chance(moves: Float[Tensor, " rounds"]) -> float:
    """Bound ``exp(-S^2 / 2V)`` on the probability of so large a sum S where signs are by chance; V sums the squares.

    Source: Hoeffding, JASA 1963, theorem 2, given the magnitudes.
    """
    total, squares = moves.sum().item(), moves.square().sum().item()
    return math.exp(-(total**2) / (2 * squares)) if total > 0 else 1.0


def _distance(first: Tensor, second: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm((first - second).double(), dim=-1)
    return distance
