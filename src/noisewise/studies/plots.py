"""Pictures of studies, drawn with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from noisewise.errors import ArgumentError

if TYPE_CHECKING:
    from noisewise.studies.audit import AuditRun

__all__ = ["heat_map", "plot_audit"]


def plot_audit(runs: Sequence[AuditRun]) -> Any:
    """Accuracy with its interval by batch size, one line for each order; a sound predictor's lines are one and flat.

    Returns:
        The matplotlib axes; ``axes.figure.savefig(path)`` keeps them.

    Raises:
        ArgumentError: the runs have no accuracies, or matplotlib is not installed.
    """
    if any(run.accuracy is None for run in runs):
        raise ArgumentError("expected runs with accuracies to plot, got a data set without labels; look at the table")
    axes = _new_axes()
    sizes = sorted({run.batch_size for run in runs})
    for order in dict.fromkeys(run.order for run in runs):
        chosen = [(run.batch_size, run.accuracy) for run in runs if run.order == order and run.accuracy is not None]
        means = [interval.mean for _, interval in chosen]
        spans = [[i.mean - i.low for _, i in chosen], [i.high - i.mean for _, i in chosen]]
        places = [sizes.index(size) for size, _ in chosen]
        axes.errorbar(places, means, yerr=spans, marker="o", capsize=3, label=order.replace("_", " "))
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set(xlabel="batch size", ylabel="accuracy in percent")
    axes.legend(frameon=False)
    return axes


def heat_map(rows: Sequence[Mapping[str, Any]], *, x: str, y: str, value: str) -> Any:
    """The figure ``value`` over the fields ``x`` and ``y`` of the rows, as a coloured and numbered table.

    Returns:
        The matplotlib axes.

    Raises:
        ArgumentError: no row, two rows for one cell, or matplotlib is not installed.
    """
    for row in rows:
        if lacking := {x, y, value} - row.keys():
            raise ArgumentError(f"expected rows with {sorted(lacking)}, got {sorted(row)}")
    columns, lines = (list(dict.fromkeys(row[name] for row in rows)) for name in (x, y))
    cells = {(row[y], row[x]): row[value] for row in rows}
    if not rows or len(cells) < len(rows):
        raise ArgumentError(f"expected one row for each {x} and {y}, got {len(rows)} for {len(cells)} cells")
    axes = _new_axes()
    table = [[cells.get((line, column), math.nan) for column in columns] for line in lines]
    axes.figure.colorbar(axes.imshow(table, aspect="auto"), label=value)
    for i, j in np.ndindex(len(lines), len(columns)):
        written = f"{table[i][j]:.3g}" if math.isfinite(table[i][j]) else ""
        axes.text(j, i, written, ha="center", va="center", bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0})
    axes.set_xticks(range(len(columns)), [str(column) for column in columns])
    axes.set_yticks(range(len(lines)), [str(line) for line in lines])
    axes.set(xlabel=x, ylabel=y)
    return axes


def _new_axes() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ArgumentError("expected matplotlib for a plot; install it with: pip install noisewise[plot]") from error
    return Figure(figsize=(6, 4), layout="constrained").subplots()
