"""Run an experiment at every point of a grid: resumable, in parallel over the devices, a result after every run."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from noisewise.errors import ArgumentError, DatasetError

__all__ = ["Experiment", "grid_points", "local_devices", "read_rows", "sweep"]

Experiment = Callable[..., Mapping[str, Any]]
"""Called with the fields of a point and ``device``; returns figures as JSON values. At module level where several
devices work, for it is sent to other processes."""

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
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[dict[str, Any]]:
    """A row for every point, its fields and the figures of its run, in the order of the points.

    Each row is written to ``path`` as one line of JSON as soon as it is known. Points that the file holds already are
    not run again, so that an interrupted sweep goes on where it stopped and a longer one extends a shorter.

    Args:
        experiment: what is run.
        points: fields by name, JSON values; see `grid_points`.
        path: of the rows, a ``.jsonl`` file.
        devices: one run at a time on each; those of the machine if None.
        progress: called with the number of rows there are and will be.

    Raises:
        ArgumentError: no point or device, or fields that are not JSON values.
        DatasetError: ``path`` holds something else.
    """
    if not points or (devices is not None and not devices):
        raise ArgumentError(f"expected at least one point and one device, got {len(points)} and {devices}")
    known = {_key(row["point"]): row for row in read_rows(path)}
    missing = [point for point in points if _key(point) not in known]
    progress(len(points) - len(missing), len(points))
    for done, (point, figures) in enumerate(_runs(experiment, missing, list(devices or local_devices())), start=1):
        known[_key(point)] = {"point": point, "figures": dict(figures)}
        _append(path, known[_key(point)])
        progress(len(points) - len(missing) + done, len(points))
    return [known[_key(point)]["point"] | known[_key(point)]["figures"] for point in points]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a sweep's file, each with its ``point`` and ``figures``; none if there is no file.

    A last line that a crash has cut is left out.

    Raises:
        DatasetError: a line is no row.
    """
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    try:
        rows = [json.loads(line) for line in whole]
        return [{"point": row["point"], "figures": row["figures"]} for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is no file of a sweep ({error}); choose another name") from error


def _runs(experiment: Experiment, points: list[Point], devices: list[str]) -> Iterator[tuple[Point, Mapping[str, Any]]]:
    if len(devices) == 1:
        for point in points:
            yield point, experiment(**point, device=devices[0])
        return
    context = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
    free = context.Queue()
    for device in devices:
        free.put(device)
    with ProcessPoolExecutor(len(devices), context, initializer=_take_device, initargs=(free,)) as pool:
        futures: dict[Future[Mapping[str, Any]], Point] = {
            pool.submit(_run_on_own_device, experiment, point): point for point in points
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


_own_device: list[str] = []


def _take_device(free: Any) -> None:
    _own_device.append(free.get())


def _run_on_own_device(experiment: Experiment, point: Point) -> Mapping[str, Any]:
    return experiment(**point, device=_own_device[0])


def _append(path: Path, row: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else ""
    with path.open("a") as file:
        if text and not text.endswith("\n"):  # what a crash has cut must not spoil the next row
            file.truncate(text.rindex("\n") + 1 if "\n" in text else 0)
        file.write(json.dumps(row) + "\n")


def _key(point: Mapping[str, Any]) -> str:
    try:
        return json.dumps(point, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"expected fields that are JSON values, but {error}; name things by their text") from error
