"""Does a figure depend on the order of the evaluation batches? Any predictor, several orders, several batch sizes.

A predictor that mixes the samples of a batch profits when they share a label, as in a data set that is sorted by class
and not shuffled; what it scores then is a property of the loader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.statistics import Interval, bootstrap_mean
from noisewise.studies.batch_mates import (
    MatesTest,
    Predictor,
    images_of,
    predicted,
    rounding,
    swap_batch_mates,
    tolerance,
)
from noisewise.studies.purity import label_purity
from noisewise.studies.results import rounded

__all__ = ["AuditReport", "AuditRun", "Order", "audit"]

Order = Literal["given", "shuffled", "class_sorted"]

_MOVED_SHARE = 0.005
_ROUNDING = 1e-4  # of the size of the scores: other kernels compute batches of another size
_WITHOUT_LABELS = "expected items (image, label), got images alone; leave 'class_sorted' out"


@dataclass(frozen=True)
class AuditRun:
    """One evaluation of the whole data set.

    Attributes:
        order: of the samples.
        batch_size: of all batches but perhaps the last.
        accuracy: in percent with its 95 % interval; None without labels.
        purity: share of the pairs of batch mates that share a label; None without labels or mates.
        moved: share of the samples whose scores differ from those of the first run by more than rounding, and so far
            that it matters: by a hundredth of the distance between two samples, or enough to change their class.
        changed: share of the samples whose predicted class differs.
    """

    order: Order
    batch_size: int
    accuracy: Interval | None
    purity: float | None
    moved: float
    changed: float


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        runs: the evaluations, in the order they were made.
        mates: the test that swaps batch mates.
    """

    runs: tuple[AuditRun, ...]
    mates: MatesTest

    @property
    def order_dependent(self) -> bool:
        """Whether a sample's scores depend on the batch that it comes in.

        Randomness alone does not, see `MatesTest`; but one that strikes fewer than one in some hundred predictions may
        be overlooked, and what it moves be taken for dependence.
        """
        moved = max(run.moved for run in self.runs)
        return self.mates.depends or (self.mates.deterministic and moved > _MOVED_SHARE)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each run, JSON-ready; shares in percent."""
        return [_row(run) for run in self.runs]

    def plot(self) -> Any:
        """Accuracy by batch size, one line for each order, as matplotlib axes.

        Raises:
            ArgumentError: there were no labels, or matplotlib is not installed.
        """
        from noisewise.studies.plots import plot_audit

        return plot_audit(self.runs)


def audit(
    predict: Predictor,
    dataset: Dataset[Any],
    *,
    batch_sizes: Sequence[int] = (1, 10, 64),
    orders: Sequence[Order] = ("given", "shuffled", "class_sorted"),
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> AuditReport:
    """Evaluate ``predict`` on ``dataset`` in each order at each batch size, and swap batch mates.

    What predicting changes in a predictor stays changed: a network that is not in evaluation mode updates the running
    statistics of its batch norms. To keep them, audit ``copy.deepcopy(network)``.

    Args:
        predict: from a batch of images to a row of scores for each; a network in evaluation mode, for instance.
        dataset: map-style, of images with class indices; of images alone only if ``"class_sorted"`` is left out.
        batch_sizes: samples that are predicted together.
        orders: of the samples; the class-sorted one runs last.
        seed: of the shuffling.
        progress: called after each batch with the number of predictions made, of ``len(dataset)`` for each run.

    Raises:
        ArgumentError: fewer than three samples, no order, no batch size or a bad one; labels that are missing or no
            class indices; scores that are not finite or of another length.
    """
    _require_sensible(dataset, batch_sizes, orders)
    runner = _Runner(predict, dataset, seed, progress)
    for order in sorted(orders, key="class_sorted".__eq__):
        for size in batch_sizes:
            runner.run(order, size)
    mates = swap_batch_mates(predict, dataset, batch_size=max(2, *batch_sizes), seed=seed)
    return AuditReport(tuple(runner.runs), mates)


class _Runner:
    """Evaluates a data set again and again; remembers its labels, and the scores of the first time."""

    def __init__(
        self, predict: Predictor, dataset: Dataset[Any], seed: int, progress: Callable[[int], None] | None
    ) -> None:
        self.runs: list[AuditRun] = []
        self._predict, self._dataset, self._seed, self._progress = predict, dataset, seed, progress
        self._count: int = len(dataset)  # type: ignore[arg-type]
        self._done = 0
        self._labels: Tensor | None = None
        self._first: Tensor | None = None

    def run(self, order: Order, batch_size: int) -> None:
        """Evaluate once more."""
        indices = self._indices(order)
        loader = DataLoader(Subset(self._dataset, indices.tolist()), batch_size=batch_size)
        parts = [self._predicted(batch) for batch in loader]
        scores, labels = (_joined(some, indices) for some in zip(*parts, strict=True))
        assert scores is not None  # for every batch has scores
        self._labels = labels
        self._first = scores if self._first is None else self._first
        self.runs.append(_judged(order, batch_size, indices, scores, self._first, labels))

    def _indices(self, order: Order) -> Tensor:
        if order == "shuffled":
            return torch.randperm(self._count, generator=make_generator(self._seed))
        if order == "given":
            return torch.arange(self._count)
        if self._labels is None:
            parts = [_labels_of(self._dataset[index], 1) for index in range(self._count)]
            self._labels = _joined(parts, torch.arange(self._count))
        if self._labels is None:
            raise ArgumentError(_WITHOUT_LABELS)
        return self._labels.argsort(stable=True)

    def _predicted(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        scores = predicted(self._predict, images_of(batch))
        self._done += len(scores)
        if self._progress is not None:
            self._progress(self._done)
        return scores, _labels_of(batch, len(scores))


def _require_sensible(dataset: Dataset[Any], batch_sizes: Sequence[int], orders: Sequence[str]) -> None:
    count = len(dataset)  # type: ignore[arg-type]
    if count < 3:
        raise ArgumentError(f"expected at least three samples, got {count}; with fewer there are no mates to swap")
    if not batch_sizes or min(batch_sizes) < 1:
        raise ArgumentError(f"expected batch sizes of at least 1, got {tuple(batch_sizes)}; (1, 10, 64) are usual")
    if not orders or not set(orders) <= set(get_args(Order)):
        raise ArgumentError(f"expected orders from {get_args(Order)}, got {tuple(orders)}; name at least one of them")
    if "class_sorted" in orders and _labels_of(dataset[0], 1) is None:
        raise ArgumentError(_WITHOUT_LABELS)


def _labels_of(batch: Any, count: int) -> Tensor | None:
    """The class indices of a batch, or of an item; None where there are images alone."""
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        return None
    labels = batch[1] if isinstance(batch[1], Tensor | int) else None
    labels = torch.as_tensor(labels) if labels is not None else torch.zeros(0, 2)
    if labels.is_floating_point() or labels.numel() != count:
        raise ArgumentError(f"expected one class index for each image, got {batch[1]!r}; map the labels to integers")
    return labels.reshape(count).long()


def _joined(parts: Iterable[Tensor | None], indices: Tensor) -> Tensor | None:
    """In the order of the data set; None if something is missing."""
    present = [part for part in parts if part is not None]
    return torch.cat(present)[indices.argsort()] if sum(map(len, present)) == len(indices) else None


def _judged(
    order: Order, batch_size: int, indices: Tensor, scores: Tensor, first: Tensor, labels: Tensor | None
) -> AuditRun:
    classes = scores.argmax(dim=1)
    accuracy = purity = None
    if labels is not None:
        accuracy = bootstrap_mean(100.0 * (classes == labels).double().numpy(), resamples=2000)
        purity = label_purity(torch.split(labels[indices], batch_size)) if batch_size > 1 else None
    distance, changed = (scores - first).double().norm(dim=1), classes != first.argmax(dim=1)
    moved = (distance > tolerance(first, _ROUNDING)) | (changed & (distance > rounding(first, _ROUNDING)))
    return AuditRun(order, batch_size, accuracy, purity, moved.double().mean().item(), changed.double().mean().item())


def _row(run: AuditRun) -> dict[str, Any]:
    row: dict[str, Any] = {"order": run.order, "batch_size": run.batch_size}
    if run.accuracy is not None:
        mean, low, high = rounded(run.accuracy)
        row |= {"accuracy": mean, "ci95": [low, high]}
        row |= {"purity": None if run.purity is None else round(100 * run.purity, 1)}
    return row | {"moved": round(100 * run.moved, 1), "changed": round(100 * run.changed, 1)}
