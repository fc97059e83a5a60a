"""A batch on the terminal: a progress bar, a line for each file, a summary, an exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from noisewise import __version__
from noisewise.cli.training import is_first_process
from noisewise.contracts import Shares
from noisewise.data import Journal, Source, find_images, output_paths
from noisewise.data.batch import Outcome, run_batch

__all__ = ["BatchEngine", "Tick", "Work", "console", "counting", "progress_bar", "report_outcomes", "run_files"]

Tick = Callable[[float], None]
"""Called during the work on a file with the share of it that is done."""

Work = Callable[[int, Source, Path, Tick], Mapping[str, Any]]

BatchEngine = Callable[..., Iterator[Outcome]]
"""What does the work on all files, called as ``run_batch`` is."""

console = Console(stderr=True, highlight=False, emoji=False, quiet=not is_first_process())


def progress_bar(unit: str) -> Progress:
    """A bar on standard error that vanishes when it is full; silent where that is no terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def counting(what: str, unit: str) -> Iterator[Shares]:
    """A bar that is told how many are done, and of how many."""
    with progress_bar(unit) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def run_files(
    inputs: Sequence[Path],
    output: Path,
    work: Work,
    *,
    overwrite: bool,
    settings: Mapping[str, object],
    describe: Callable[[Outcome], str] | None,
    engine: BatchEngine | None = None,
) -> list[Outcome]:
    """Do ``work`` on every image among ``inputs``, here or by ``engine``.

    ``describe`` makes the line of each file, None prints none.
    """
    sources = [source for source in find_images(inputs) if not _is_earlier_output(source, output)]
    targets = output_paths(sources, output, overwrite=overwrite)
    journal = None if targets == [output] else Journal(output, {"version": __version__, **settings})
    outcomes = []
    with progress_bar("files") as bar:
        task = bar.add_task("working", total=len(sources))

        def tracked(index: int, source: Source, target: Path) -> Mapping[str, Any]:
            bar.update(task, description=source.path.name)
            return work(index, source, target, lambda share: bar.update(task, completed=index + share))

        found = (engine or run_batch)(
            sources, targets, partial(_untracked, work) if engine else tracked, journal=journal
        )
        for index, outcome in enumerate(found):
            outcomes.append(outcome)
            bar.update(task, completed=index + 1)
            if describe is not None:
                bar.console.print(_line(outcome, describe), soft_wrap=True)
    places = {source.path: index for index, source in enumerate(sources)}
    return sorted(outcomes, key=lambda outcome: places[outcome.source])


def _untracked(work: Work, index: int, source: Source, target: Path) -> Mapping[str, Any]:
    """The work where no bar can see it; a function of this module, where other machines find it."""
    return work(index, source, target, lambda share: None)


def report_outcomes(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """Print the JSON or the summary, and leave with 1 where some of the files failed, 2 where all did."""
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    resumed = sum(outcome.status == "resumed" for outcome in outcomes)
    if as_json:
        typer.echo(json.dumps([outcome.as_dict() for outcome in outcomes], indent=2))
    elif len(outcomes) > 1:
        parts = [f"{len(outcomes) - len(failed) - resumed} done"]
        parts += [f"{resumed} done before"] * bool(resumed) + [f"{len(failed)} failed"] * bool(failed)
        console.print(", ".join(parts))
    if failed:
        raise typer.Exit(2 if len(failed) == len(outcomes) else 1)


def _is_earlier_output(source: Source, output: Path) -> bool:
    """Whether ``output`` lies within the folder that is searched and ``source`` was found in it."""
    searched = source.path.absolute().parents[len(source.relative.parts) - 1].resolve()
    folder = output.resolve()
    return searched in folder.parents and folder in (searched / source.relative).parents


def _line(outcome: Outcome, describe: Callable[[Outcome], str]) -> str:
    match outcome.status:
        case "failed":
            return f"[red]failed:[/] {escape(str(outcome.error))}"
        case "resumed":
            return f"[dim]done before: {escape(str(outcome.target))}[/]"
        case _:
            return escape(describe(outcome))
