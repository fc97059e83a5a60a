"""The page of ``noisewise demo``."""

from __future__ import annotations

from pathlib import Path

from noisewise._files import check_target
from noisewise.demo.digits import harden_classifier
from noisewise.demo.photograph import clean_photograph
from noisewise.restore.report import write_report

__all__ = ["run_demo"]

Figures = dict[str, dict[str, float]]


def run_demo(output: Path, *, overwrite: bool = False) -> dict[str, Figures]:
    """Write the page and return what it shows: for each chapter, figures before and after of each case.

    Raises:
        OutputError: the page exists already or cannot be written.
    """
    check_target(output, overwrite=overwrite)
    pages, photograph = clean_photograph()
    table, classifier = harden_classifier()
    summary = (
        "A photograph made noisy, then cleaned by the network that ships with noisewise, which was told nothing; and a "
        "small classifier, hardened without labels."
    )
    write_report(pages, output, title="noisewise demo", summary=summary, tables=[table], overwrite=overwrite)
    return {"photograph": photograph, "classifier": classifier}
