"""Many files on many machines: Ray hands each to whichever worker is free, and to another where that died."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from noisewise.data.batch import Outcome, Work, attempt
from noisewise.data.cluster import TRIES_MORE, cluster, jobs_at_once
from noisewise.data.folders import Source
from noisewise.data.journal import Journal
from noisewise.errors import NoisewiseError

__all__ = ["run_batch_on_ray"]


def run_batch_on_ray(
    sources: Sequence[Source],
    targets: Sequence[Path],
    work: Work,
    *,
    journal: Journal | None,
    check: Callable[[Path], None],
    address: str | None = None,
) -> Iterator[Outcome]:
    """Do ``work`` on each file on a cluster and yield its outcome, in the order in which they are done.

    All workers must see the files under the same paths and have noisewise installed.

    Args:
        sources: the inputs.
        targets: their outputs, in the same order.
        work: as for :func:`noisewise.data.batch.run_batch`; may be done twice where a worker died after it, and must
            then replace what it wrote. It is sent to the workers, and takes everything it refers to along.
        journal: remembers what is done, for the next run; kept here, not by the workers.
        check: called with each target before any work; what it raises is that file's failure.
        address: as for :func:`noisewise.data.cluster.cluster`.

    Raises:
        ArgumentError: Ray is not installed, or there is no cluster at that address.
    """
    waiting = []
    for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
        if journal is not None and journal.done(source, target):
            yield Outcome(source.path, target, "resumed")
        elif (refusal := _refusal(check, target)) is not None:
            yield Outcome(source.path, target, "failed", error=refusal)
        else:
            waiting.append(index)
    if not waiting:
        return

    with cluster(address) as ray:
        for index, outcome in _outcomes(ray, work, {index: (sources[index], targets[index]) for index in waiting}):
            yield outcome if journal is None else _recorded(outcome, journal, sources[index])


def _recorded(outcome: Outcome, journal: Journal, source: Source) -> Outcome:
    try:
        if outcome.status == "done":
            journal.record(source, outcome.target)
    except NoisewiseError as error:
        return replace(outcome, status="failed", error=str(error))
    return outcome


def _refusal(check: Callable[[Path], None], target: Path) -> str | None:
    try:
        check(target)
    except NoisewiseError as error:
        return str(error)
    return None


def _outcomes(ray: ModuleType, work: Work, files: Mapping[int, tuple[Source, Path]]) -> Iterator[tuple[int, Outcome]]:
    """Position and outcome of each file, as they come; after Ctrl-C those of the files that were begun."""
    task, sent = ray.remote(max_retries=TRIES_MORE)(attempt), ray.put(work)
    waiting, running = iter(files.items()), dict[Any, int]()
    most, interrupted = jobs_at_once(ray), False
    while True:
        try:
            for index, file in [] if interrupted else islice(waiting, most - len(running)):
                running[task.remote(sent, index, *_anywhere(*file))] = index
            if not running:
                break
            (ready, *_), _ = ray.wait(list(running))
        except KeyboardInterrupt:
            interrupted = True  # what workers have written must still be recorded, for the next run to find
            continue
        index = running.pop(ready)
        yield index, _outcome(ray, ready, *files[index])
    if interrupted:
        raise KeyboardInterrupt


def _outcome(ray: ModuleType, ready: Any, source: Source, target: Path) -> Outcome:
    """What became of a file; one that no worker survived has failed."""
    try:
        found: Outcome = ray.get(ready)
    except ray.exceptions.RayTaskError:
        raise  # a defect of the work itself
    except ray.exceptions.RayError as error:
        told = type(error).__name__.removesuffix("Error")
        reason = f"{source.path} ended every worker that tried it ({told}), perhaps for want of memory; try it alone"
        return Outcome(source.path, target, "failed", error=reason)
    return replace(found, source=source.path, target=target)


def _anywhere(source: Source, target: Path) -> tuple[Source, Path]:
    """A file as a worker finds it, whose own folder is another."""
    return replace(source, path=source.path.absolute()), target.absolute()
