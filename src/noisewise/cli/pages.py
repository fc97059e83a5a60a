"""The HTML report of a batch of denoised files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noisewise._files import check_target
from noisewise.cli.batch import console
from noisewise.data.batch import Outcome
from noisewise.data.formats import has_image_suffix
from noisewise.data.journal import FILE_NAME
from noisewise.restore.files import read_restored
from noisewise.restore.report import ReportImage, write_report

__all__ = ["refuse_existing_page", "write_page"]

_SHOWN = 24
_FOLDER_PAGE = "noisewise-report.html"


class _Pages(Sequence[ReportImage]):
    """Sections of the report, each read from its files when its turn comes: photographs by the dozen fill a memory."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes

    def __len__(self) -> int:
        return len(self._outcomes)

    def __getitem__(self, index: Any) -> Any:
        outcome = self._outcomes[index]
        return read_restored(outcome.source, outcome.target).report_image(str(outcome.source))


def refuse_existing_page(output: Path) -> None:
    """Fails before any work is spent where the page of ``output`` exists.

    Raises:
        OutputError: it does.
    """
    page = _page_of(output)
    if page.exists() and not _is_of_a_batch(page):
        check_target(page, overwrite=False)


def write_page(outcomes: Sequence[Outcome], output: Path, *, overwrite: bool) -> None:
    """Show the first images that were denoised, now or by an earlier run, on a page beside ``output``."""
    good = [outcome for outcome in outcomes if outcome.status != "failed"]
    shown = [outcome for outcome in good if not outcome.source.samefile(outcome.target)][:_SHOWN]
    if not shown:
        console.print("no report: there is no image with both its input and its output")
        return
    summary = _summary(len(good), len(outcomes) - len(good), len(shown))
    page = _page_of(output)
    renewed = overwrite or _is_of_a_batch(page)
    write_report(_Pages(shown), page, title="noisewise", summary=summary, overwrite=renewed)
    console.print(f"report: {page}", markup=False, soft_wrap=True)


def _summary(good: int, failed: int, shown: int) -> str:
    parts = [f"{good} image{'s' * (good != 1)} denoised"]
    parts += [f"{failed} failed"] * bool(failed) + [f"the first {shown} shown"] * (good > shown)
    return ", ".join(parts)


def _is_of_a_batch(page: Path) -> bool:
    """Whether ``page`` is that of an output folder of ours, to be brought up to date when the batch goes on."""
    return (page.parent / FILE_NAME).is_file() and page.name == _FOLDER_PAGE


def _page_of(output: Path) -> Path:
    if has_image_suffix(output) and not output.is_dir():
        return output.with_name(f"{output.stem}.report.html")
    return output / _FOLDER_PAGE
