"""Does a figure depend on the order of the evaluation batches? Any predictor, several orders, several batch sizes.

A predictor that mixes the samples of a batch profits when they share a label, as in a data set that is sorted by class
and not shuffled; what it scores then is a property of the loader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.statistics import Interval, bootstrap_mean
from noisewise.studies.batch_mates import MatesTest, Predictor, images_of, predicted, swap_batch_mates, tolerance
from noisewise.studies.purity import label_purity

__all__ = ["AuditReport", "AuditRun", "Order", "audit"]

Order = Literal["given", "shuffled", "class_sorted"]

_MOVED_SHARE = 0.005


@dataclass(frozen=True)
class AuditRun:
    """One evaluation of the whole data set.

    Attributes:
        order: of the samples.
        batch_size: of all batches but perhaps the last.
        accuracy: in percent with its 95 % interval; None without labels.
        purity: share of the pairs of batch mates that share a label; None without labels or mates.
        moved: share of the samples whose scores differ from those of the first run by more than rounding.
        changed: share of the samples whose predicted class does.
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
        """Whether a sample's scores depend on the batch that it comes in."""
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

    Args:
        predict: from a batch of images to a row of scores for each; a network in evaluation mode, for instance.
        dataset: map-style, of images with class indices; or of images alone, where ``"class_sorted"`` is left out.
        batch_sizes: samples that are predicted together.
        orders: of the samples.
        seed: of the shuffling.
        progress: called after each batch with the number of predictions made, of ``len(dataset)`` for each run.

    Raises:
        ArgumentError: no sample, no order, no batch size or a bad one; missing labels; scores of another length.
    """
    _require_sensible(dataset, batch_sizes, orders)
    labels = _labels(dataset, needed="class_sorted" in orders)
    indices = {order: _indices(order, len(dataset), labels, seed) for order in orders}  # type: ignore[arg-type]
    runs: list[AuditRun] = []
    first: Tensor | None = None
    done = 0
    for order in orders:
        for size in batch_sizes:
            scores = _evaluate(predict, dataset, indices[order], size, progress, done)
            first = scores if first is None else first
            runs.append(_judge(order, size, scores, first, labels, indices[order]))
            done += len(scores)
    return AuditReport(tuple(runs), swap_batch_mates(predict, dataset, batch_size=max(2, *batch_sizes), seed=seed))


def _require_sensible(dataset: Dataset[Any], batch_sizes: Sequence[int], orders: Sequence[str]) -> None:
    if len(dataset) < 2:  # type: ignore[arg-type]
        raise ArgumentError(f"expected at least two samples, got {len(dataset)}")  # type: ignore[arg-type]
    if not batch_sizes or min(batch_sizes) < 1:
        raise ArgumentError(f"expected batch sizes of at least 1, got {tuple(batch_sizes)}")
    if not orders or not set(orders) <= set(get_args(Order)):
        raise ArgumentError(f"expected orders from {get_args(Order)}, got {tuple(orders)}")


def _labels(dataset: Dataset[Any], *, needed: bool) -> Tensor | None:
    """The class indices, if the items of the data set have them."""
    first = dataset[0]
    labelled = isinstance(first, tuple | list) and len(first) > 1
    if not labelled:
        if needed:
            raise ArgumentError(
                "expected items (image, label), got images alone; leave 'class_sorted' out of the orders"
            )
        return None
    listed = getattr(dataset, "targets", None)  # torchvision's data sets list them, which saves reading every image
    known = listed if listed is not None else [dataset[index][1] for index in range(len(dataset))]  # type: ignore[arg-type]
    return torch.as_tensor(known).long()


def _indices(order: Order, count: int, labels: Tensor | None, seed: int) -> Tensor:
    if order == "shuffled":
        return torch.randperm(count, generator=make_generator(seed))
    if order == "class_sorted" and labels is not None:
        return labels.argsort(stable=True)
    return torch.arange(count)


def _evaluate(
    predict: Predictor,
    dataset: Dataset[Any],
    indices: Tensor,
    batch_size: int,
    progress: Callable[[int], None] | None,
    done: int,
) -> Tensor:
    """The scores, in the order of the data set."""
    parts = []
    for batch in DataLoader(Subset(dataset, indices.tolist()), batch_size=batch_size):
        parts.append(predicted(predict, images_of(batch)))
        done += len(parts[-1])
        if progress is not None:
            progress(done)
    return torch.cat(parts)[indices.argsort()]


def _judge(
    order: Order, batch_size: int, scores: Tensor, first: Tensor, labels: Tensor | None, indices: Tensor
) -> AuditRun:
    classes = scores.argmax(dim=1)
    moved = (scores - first).double().norm(dim=1) > tolerance(first)
    return AuditRun(
        order,
        batch_size,
        None if labels is None else bootstrap_mean(100.0 * (classes == labels).double().numpy(), resamples=2000),
        None if labels is None or batch_size < 2 else label_purity(torch.split(labels[indices], batch_size)),
        moved.double().mean().item(),
        (classes != first.argmax(dim=1)).double().mean().item(),
    )


def _row(run: AuditRun) -> dict[str, Any]:
    row: dict[str, Any] = {"order": run.order, "batch_size": run.batch_size}
    if run.accuracy is not None:
        row |= {
            "accuracy": round(run.accuracy.mean, 2),
            "ci95": [round(run.accuracy.low, 2), round(run.accuracy.high, 2)],
            "purity": None if run.purity is None else round(100 * run.purity, 1),
        }
    return row | {"moved": round(100 * run.moved, 1), "changed": round(100 * run.changed, 1)}
