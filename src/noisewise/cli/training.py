"""A training on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["shown_training"]

_LOGGED = 100


@contextmanager
def shown_training(steps: int) -> Iterator[Callable[[int, float], None]]:
    """A progress bar with a smoothed loss; on a log file, a line every hundred steps."""
    from noisewise.cli.batch import console, progress_bar

    smoothed: list[float] = []
    with progress_bar("steps") as bar:
        task = bar.add_task("training", total=steps)

        def show(step: int, loss: float) -> None:
            smoothed[:] = [0.98 * smoothed[0] + 0.02 * loss if smoothed else loss]
            bar.update(task, completed=step, description=f"training, loss {smoothed[0]:.4f}")
            if bar.disable and (step % _LOGGED == 0 or step == steps):
                console.print(f"step {step} of {steps}, loss {smoothed[0]:.5f}")

        yield show
