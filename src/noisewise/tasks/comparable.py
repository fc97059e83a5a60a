"""Tasks that compare two networks image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias, TypeVar

from torch import nn

from noisewise.contracts import Shares, Task
from noisewise.measure.statistics import Interval

__all__ = ["ComparableTask", "Progress", "ignored"]

Found = TypeVar("Found")

Progress: TypeAlias = Callable[[int], None]
"""Called with the number of images done."""


def ignored(done: int, total: int = 0) -> None:
    """What nobody watches."""


class ComparableTask(Task, Protocol[Found]):
    """A task that keeps what a network makes of every image."""

    def __call__(self, model: nn.Module) -> Iterator[tuple[str, float]]:
        """Name and value in percent of each metric; see `find` for the errors."""
        return self.metrics(self.find(model))

    def find(self, model: nn.Module, progress: Progress = ignored) -> Found:
        """What ``model`` makes of every image."""
        ...

    def metrics(self, found: Found) -> Iterator[tuple[str, float]]:
        """Name and value in percent of each metric, the main one first."""
        ...

    def difference(self, first: Found, second: Found, progress: Shares = ignored) -> Interval:
        """The main metric of ``first`` less that of ``second`` in percentage points, with its 95 % interval.

        Tells how many bootstrap samples are counted, and of how many, where that takes long.
        """
        ...
