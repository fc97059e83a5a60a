"""A training on the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from noisewise.errors import ArgumentError

__all__ = ["is_first_process", "require_one_process", "shown_training"]

_LOGGED = 100


def is_first_process() -> bool:
    """Whether this one writes and speaks for all; so is the only one."""
    return not _is_launched() or os.environ.get("RANK", "0") == "0"


def _is_launched() -> bool:
    """Whether a launcher started several processes; RANK alone, which schedulers set, too, is none."""
    return "LOCAL_RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def require_one_process(command: str) -> None:
    """Check that ``command`` was not started several times over by ``accelerate launch`` or torchrun.

    Raises:
        ArgumentError: it was.
    """
    if _is_launched():
        raise ArgumentError(
            f"expected one process for {command}, got {os.environ['WORLD_SIZE']}; only pretrain shares its work "
            f"among processes: start noisewise {command} without a launcher"
        )


@contextmanager
def shown_training(steps: int) -> Iterator[Callable[[int, float], None]]:
    """A progress bar with a smoothed loss; on a log file, a line for the first, every hundredth and the last step."""
    from noisewise.cli.batch import console, progress_bar

    smoothed: list[float] = []
    with progress_bar("steps") as bar:
        task = bar.add_task("training", total=steps)

        def show(step: int, loss: float) -> None:
            is_first = not smoothed
            smoothed[:] = [loss if is_first else 0.98 * smoothed[0] + 0.02 * loss]
            bar.update(task, completed=step, description=f"training, loss {smoothed[0]:.4f}")
            if bar.disable and (is_first or step == steps or step % _LOGGED == 0):
                console.print(f"step {step} of {steps}, loss {smoothed[0]:.5f}")

        yield show
