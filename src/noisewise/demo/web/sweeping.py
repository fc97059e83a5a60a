"""Removes what visitors left behind. gradio's own ``delete_cache`` was tried, and left most of it where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["sweep", "swept"]

_PAUSE = 20.0


@contextmanager
def swept(folder: Path, seconds: float) -> Iterator[None]:
    """Within it, a thread looks again and again for what is to be removed, see :func:`sweep`."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(_PAUSE):
            sweep(folder, seconds)

    thread = threading.Thread(target=work, name="sweeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def sweep(folder: Path, seconds: float) -> None:
    """Remove every file below ``folder`` that was neither written nor handed out anew for so long."""
    oldest = time.time() - seconds
    paths: list[Path] = []
    with suppress(OSError):  # a folder that went while it was listed
        paths = list(folder.rglob("*"))
    for path in paths:
        with suppress(OSError):  # gone already, or in use where files in use cannot be removed: the next sweep has it
            if path.is_file() and path.stat().st_ctime < oldest:
                path.unlink()
