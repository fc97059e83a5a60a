"""Many files, one after the other: what fails is noted and the rest goes on, what was done before is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from noisewise.data.folders import Source
from noisewise.data.journal import Journal
from noisewise.errors import NoisewiseError

__all__ = ["Outcome", "Work", "attempt", "run_batch"]

Work: TypeAlias = Callable[[int, Source, Path], Mapping[str, Any]]
"""Called with position, source and target of a file; writes the target and returns details of it, JSON-ready."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        source: the input.
        target: the output.
        status: ``"done"`` now, ``"resumed"`` (done by an earlier run), or ``"failed"``.
        seconds: time spent on it.
        error: why it failed.
        details: what the work returned, JSON-ready.
    """

    source: Path
    target: Path
    status: Literal["done", "resumed", "failed"]
    seconds: float = 0.0
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        known = {"input": str(self.source), "output": str(self.target), "status": self.status}
        timed = known | {"seconds": round(self.seconds, 3), **self.details}
        return timed if self.error is None else timed | {"error": self.error}


def run_batch(
    sources: Sequence[Source], targets: Sequence[Path], work: Work, *, journal: Journal | None
) -> Iterator[Outcome]:
    """Do ``work`` on each file in turn and yield its outcome.

    Args:
        sources: the inputs.
        targets: their outputs, in the same order.
        work: done on each.
        journal: remembers what is done, for the next run; None for a single file.
    """
    for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
        if journal is not None and journal.done(source, target):
            yield Outcome(source.path, target, "resumed")
        else:
            yield attempt(work if journal is None else _recorded(work, journal), index, source, target)


def attempt(work: Work, index: int, source: Source, target: Path) -> Outcome:
    """Do ``work`` on one file; an error that its user can mend is its outcome."""
    start = time.perf_counter()
    try:
        details = work(index, source, target)
    except NoisewiseError as error:
        return Outcome(source.path, target, "failed", time.perf_counter() - start, str(error))
    except MemoryError:
        reason = f"{source.path} does not fit into the memory; close other programs or cut it"
        return Outcome(source.path, target, "failed", time.perf_counter() - start, reason)
    return Outcome(source.path, target, "done", time.perf_counter() - start, None, details)


def _recorded(work: Work, journal: Journal) -> Work:
    def recorded(index: int, source: Source, target: Path) -> Mapping[str, Any]:
        with journal.recording(source, target):
            return work(index, source, target)

    return recorded
