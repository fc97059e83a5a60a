"""Rows of figures: those of a sweep summed up over the seeds, and intervals as they are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noisewise.errors import ArgumentError
from noisewise.measure.statistics import Interval, student_interval

__all__ = ["rounded", "summarise"]


def rounded(interval: Interval) -> Interval:
    """Mean and limits with two decimals, as rows give percentages."""
    return Interval(*(round(value, 2) for value in interval))


def summarise(
    rows: Iterable[Mapping[str, Any]], value: str, *, over: str = "seed", by: Sequence[str]
) -> list[dict[str, Any]]:
    """Mean of ``value`` over the seeds with its 95 % t interval, for every combination of the fields ``by``.

    Args:
        rows: of `sweep`.
        value: name of the figure.
        over: the field that repeats, of which each combination needs one row for each value.
        by: the fields that tell the combinations apart, which become those of the result.

    Returns:
        Rows with the fields ``by``, ``mean``, ``low``, ``high`` and ``runs``; the interval of a single run is None.

    Raises:
        ArgumentError: a row lacks a field, or two rows have all of ``by`` and ``over`` in common.
    """
    groups: dict[str, tuple[dict[str, Any], dict[Any, float]]] = {}
    for row in rows:
        if lacking := {value, over, *by} - row.keys():
            raise ArgumentError(f"expected rows with {sorted(lacking)}, got {sorted(row)}")
        fields = {name: row[name] for name in by}
        _, runs = groups.setdefault(json.dumps(fields), (fields, {}))
        if row[over] in runs:
            raise ArgumentError(f"two rows share {over}={row[over]!r} and {', '.join(by)}; tell them apart with by")
        runs[row[over]] = row[value]
    return [fields | _summary(list(runs.values())) for fields, runs in groups.values()]


def _summary(values: list[float]) -> dict[str, Any]:
    if len(values) == 1:
        return {"mean": values[0], "low": None, "high": None, "runs": 1}
    return student_interval(values)._asdict() | {"runs": len(values)}
