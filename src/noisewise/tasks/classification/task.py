"""The tasks: accuracy on one set, and accuracy under every corruption of a suite. All values are in percent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from torch import nn

from noisewise.contracts import Noise, Shares
from noisewise.errors import ArgumentError
from noisewise.measure.statistics import Interval
from noisewise.tasks.classification.corruptions import corruptions
from noisewise.tasks.classification.evaluate import (
    Batches,
    Correctness,
    Preprocess,
    accuracy_difference,
    evaluate,
)
from noisewise.tasks.comparable import ComparableTask, Progress, ignored

__all__ = ["Classification", "CorruptionSuite", "corruption_errors"]


@dataclass(frozen=True)
class Classification(ComparableTask[Correctness]):
    """Accuracy on one data set: yields ``top1`` and ``top5`` in percent.

    Attributes:
        batches: images in [0, 1] and labels, in the same order on every pass.
        noise: what corrupts the images, if anything.
        seed: of the noise, and of the resampling behind an interval.
        preprocess: from pixels to the input of the network.
    """

    batches: Batches
    noise: Noise | None = None
    seed: int = 0
    preprocess: Preprocess | None = None

    def find(self, model: nn.Module, progress: Progress = ignored) -> Correctness:
        """What ``model`` gets right; see `evaluate`."""
        noise, seed, preprocess = self.noise, self.seed, self.preprocess
        return evaluate(model, self.batches, noise=noise, seed=seed, preprocess=preprocess, progress=progress)

    def metrics(self, found: Correctness) -> Iterator[tuple[str, float]]:
        """Name and value of each metric."""
        yield "top1", found.top1_accuracy
        yield "top5", found.top5_accuracy

    def difference(self, first: Correctness, second: Correctness, progress: Shares = ignored) -> Interval:
        """Of top-1 accuracy; see `accuracy_difference`."""
        return accuracy_difference(first, second, seed=self.seed)


@dataclass(frozen=True)
class CorruptionSuite:
    """Top-1 accuracy in percent, clean and under each corruption and severity, each yielded as soon as it is known.

    Yields ``clean``, then ``gaussian/1`` to ``gaussian/5`` and so on, and ends with ``mean corrupted``, the plain mean
    of all but ``clean``.

    Attributes:
        batches: images in [0, 1] and labels, in the same order on every pass; passed over once for each value.
        corruptions: severities by name, mildest first; every registered noise by default.
        seed: of the noise, the same for all severities, so that they differ in nothing but the level.
        preprocess: from pixels to the input of the network.
    """

    batches: Batches
    corruptions: Mapping[str, Sequence[Noise]] = field(default_factory=corruptions)
    seed: int = 0
    preprocess: Preprocess | None = None

    def __post_init__(self) -> None:
        if not any(self.corruptions.values()):
            raise ArgumentError("expected at least one corruption, got none; corruptions() has every registered noise")

    def __call__(self, model: nn.Module) -> Iterator[tuple[str, float]]:
        """Name and value of each metric; see `evaluate` for the errors."""
        yield "clean", self._top1(model, None)
        corrupted = []
        for name, noises in self.corruptions.items():
            for severity, noise in enumerate(noises, 1):
                corrupted.append(self._top1(model, noise))
                yield f"{name}/{severity}", corrupted[-1]
        yield "mean corrupted", fmean(corrupted)

    def _top1(self, model: nn.Module, noise: Noise | None) -> float:
        return evaluate(model, self.batches, noise=noise, seed=self.seed, preprocess=self.preprocess).top1_accuracy


def corruption_errors(accuracies: Mapping[str, float]) -> dict[str, list[float]]:
    """Top-1 errors in percent by corruption, mildest severity first: what `mean_corruption_error` compares.

    Args:
        accuracies: what a `CorruptionSuite` yields, as a dictionary.
    """
    errors: dict[str, list[float]] = {}
    for metric, accuracy in accuracies.items():
        name, _, severity = metric.rpartition("/")
        if severity.isdigit():
            errors.setdefault(name, []).append(100 - accuracy)
    return errors
