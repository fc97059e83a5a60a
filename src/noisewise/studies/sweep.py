"""Run an experiment at every point of a grid: resumable, in parallel over the devices, a result after every run."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, BinaryIO

import torch

from noisewise.contracts import Shares
from noisewise.errors import ArgumentError, DatasetError, OutputError

__all__ = ["Experiment", "grid_points", "local_devices", "read_rows", "sweep"]

Experiment = Callable[..., Mapping[str, Any]]
"""Called with the fields of a point and ``device``; returns figures as JSON values. At module level where several
devices work, for it is sent to a process for each of them, once: what it keeps serves the next point."""

Point = dict[str, Any]


def grid_points(grid: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Every combination of the values, the last name varying fastest.

    Raises:
        ArgumentError: a name without values.
    """
    if empty := [name for name, values in grid.items() if not values]:
        raise ArgumentError(f"expected values for every name of the grid, got none for {', '.join(empty)}")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def local_devices() -> list[str]:
    """Every GPU of this machine, or its CPU."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def sweep(
    experiment: Experiment,
    points: Sequence[Point],
    path: Path,
    *,
    devices: Sequence[str] | None = None,
    progress: Shares = lambda done, of: None,
) -> list[dict[str, Any]]:
    """A row for every different point, its fields and the figures of its run, in the order of the points.

    Each row is written to ``path`` as one line of JSON as soon as it is known. Points that the file holds already are
    not run again, so that an interrupted sweep goes on where it stopped and a longer one extends a shorter.

    Args:
        experiment: what is run.
        points: fields by name, JSON values; see `grid_points`.
        path: of the rows, a ``.jsonl`` file.
        devices: one run at a time on each, of neighbouring points as long as there are any; those of the machine if
            None.
        progress: called with the number of rows there are and will be.

    Raises:
        ArgumentError: no point or device, fields or figures that are not JSON values, or that share a name; an
            experiment that cannot be sent to other processes.
        DatasetError: ``path`` holds something else.
        OutputError: ``path`` cannot be written.
    """
    if not points or (devices is not None and not devices):
        raise ArgumentError(f"expected at least one point and one device, got {len(points)} and {devices}")
    wanted = {_key(point): point for point in points}
    known = {_key(row["point"]): row for row in read_rows(path)}
    missing = [point for key, point in wanted.items() if key not in known]
    with _open(path) as file:
        progress(len(wanted) - len(missing), len(wanted))
        for done, (point, figures) in enumerate(_runs(experiment, missing, list(devices or local_devices())), start=1):
            line = _line(point, figures)
            file.write(line.encode() + b"\n")
            file.flush()
            known[_key(point)] = json.loads(line)
            progress(len(wanted) - len(missing) + done, len(wanted))
    return [known[key]["point"] | known[key]["figures"] for key in wanted]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a sweep's file, each with its ``point`` and ``figures``; none if there is no file.

    A last line that a crash has cut is left out.

    Raises:
        DatasetError: a line is no row.
    """
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]
    try:
        rows = [json.loads(line) for line in whole]
        return [{"point": row["point"], "figures": row["figures"]} for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is no file of a sweep ({error}); choose another name") from error


def _runs(experiment: Experiment, points: list[Point], devices: list[str]) -> Iterator[tuple[Point, Mapping[str, Any]]]:
    used = devices[: len(points)]
    if len(used) > 1:
        yield from _runs_at_once(_sendable(experiment), points, used)
        return
    for point in points:
        yield point, experiment(**point, device=used[0])


def _runs_at_once(
    experiment: bytes, points: list[Point], devices: list[str]
) -> Iterator[tuple[Point, Mapping[str, Any]]]:
    context = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
    pools = [ProcessPoolExecutor(1, context, initializer=_take, initargs=(experiment, device)) for device in devices]
    shares = _shares(points, len(devices))
    running: dict[Future[Mapping[str, Any]], tuple[int, Point]] = {}

    def begin(worker: int) -> None:
        if (point := _next_point(shares, worker)) is not None:
            running[pools[worker].submit(_run, point)] = worker, point

    try:
        for worker in range(len(devices)):
            begin(worker)
        while running:
            run = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
            worker, point = running.pop(run)
            figures = run.result()
            begin(worker)
            yield point, figures
    except Exception:
        yield from ((point, run.result()) for run, (_, point) in running.items() if run.exception() is None)
        raise
    finally:
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _sendable(experiment: Experiment) -> bytes:
    # as bytes, since torch would let the processes share the memory of its tensors
    try:
        return pickle.dumps(experiment)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(
            f"expected an experiment that can be sent to other processes, but {error}; define it at the top of a "
            "module, or name one device"
        ) from error


def _shares(points: list[Point], count: int) -> list[deque[Point]]:
    """The points in ``count`` runs of neighbours, as even as can be."""
    ends = [len(points) * share // count for share in range(count + 1)]
    return [deque(points[start:end]) for start, end in itertools.pairwise(ends)]


def _next_point(shares: list[deque[Point]], worker: int) -> Point | None:
    """Of a worker's own share, or else the last of the largest."""
    if shares[worker]:
        return shares[worker].popleft()
    largest = max(shares, key=len)
    return largest.pop() if largest else None


_own: list[tuple[Experiment, str]] = []
"""What this process runs, and on which device."""


def _take(experiment: bytes, device: str) -> None:
    _own.append((pickle.loads(experiment), device))


def _run(point: Point) -> Mapping[str, Any]:
    experiment, device = _own[0]
    return experiment(**point, device=device)


def _open(path: Path) -> BinaryIO:
    """The file of rows, ready for the next; the rest of a row that a crash has cut is dropped."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+")
        file.truncate(path.read_bytes().rfind(b"\n") + 1)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another name") from error
    return file


def _as_json(value: Any) -> Any:
    if hasattr(value, "item"):  # a number of numpy or torch
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _line(point: Point, figures: Mapping[str, Any]) -> str:
    if shared := point.keys() & figures.keys():
        raise ArgumentError(
            f"expected figures with names of their own, but {sorted(shared)} are fields of the point, too"
        )
    try:
        return json.dumps({"point": point, "figures": dict(figures)}, default=_as_json)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"expected figures that are JSON values, but {error}; convert them in the experiment"
        ) from error


def _key(point: Mapping[str, Any]) -> str:
    try:
        return json.dumps(point, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"expected fields that are JSON values, but {error}; name things by their text") from error
