"""Pictures of studies, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noisewise.errors import ArgumentError

if TYPE_CHECKING:
    from noisewise.studies.audit import AuditRun

__all__ = ["plot_audit"]


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


def _new_axes() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ArgumentError("expected matplotlib for a plot; install it with: pip install noisewise[plot]") from error
    return Figure(figsize=(6, 4), layout="constrained").subplots()
