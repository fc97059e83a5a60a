"""Requests at work: each has a folder of its own, a clock, and errors told on the page."""

from __future__ import annotations

import logging
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from noisewise._memory import lacks_memory
from noisewise.demo.web.limits import Clock, Limits
from noisewise.errors import LimitError, NoisewiseError

__all__ = ["Job", "Jobs"]

_FOLDERS = r"[\\/](?:[^:;,]*[\\/])?"
"""What a message says between the folder for temporary files and the name of a file."""


@dataclass(frozen=True)
class Job:
    """What a request works with.

    Attributes:
        folder: for its files; it ends with the job.
        clock: its time.
        over: whether the server stops.
    """

    folder: Path
    clock: Clock
    over: threading.Event

    def steps(self, progress: Callable[..., Any], said: str) -> Callable[..., None]:
        """To be called after every step with what is done, and with the whole of it unless that is 1.

        Raises:
            LimitError: by the call, when the time is up or the server stops.
        """

        def tick(done: float, total: float = 1) -> None:
            self.clock.check()
            _require_open(self.over)
            progress(done / total, desc=said)

        return tick


class Jobs:
    """All requests at work, which end before the server does.

    Python, when it exits, ends threads wherever they are; in the midst of torch's code that aborts the whole process.

    Args:
        limits: of each.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._over = threading.Event()
        self._at_work = 0
        self._changed = threading.Condition()

    @contextmanager
    def begin(self) -> Iterator[Job]:
        """Within it a request works; hand over its results before it ends, for its folder ends with it.

        Raises:
            gr.Error: anything went wrong; a visitor reads why, unless it is a defect, which only the log tells.
        """
        with self._counted(), tempfile.TemporaryDirectory(prefix="noisewise-job-") as folder, _errors_told():
            _require_open(self._over)
            yield Job(Path(folder), Clock(self.limits), self._over)

    def end(self, seconds: float) -> None:
        """Tell all to end at their next step, and wait for them that long at most."""
        self._over.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work, seconds)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._changed:
            self._at_work += more
            self._changed.notify_all()


def _require_open(over: threading.Event) -> None:
    if over.is_set():
        raise LimitError("the server stops; start it again, and send this anew")


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except NoisewiseError as reason:
        raise _told(_without_folders(str(reason))) from reason
    except Exception as reason:
        if lacks_memory(reason):
            raise _told("this takes more memory than there is; send a smaller image or fewer of them") from reason
        logging.getLogger(__name__).exception("a request failed")
        raise _told(f"this met a defect of noisewise ({type(reason).__name__}); please report it") from reason


def _told(message: str) -> gr.Error:
    return gr.Error(message[:1].upper() + message[1:], duration=None, print_exception=False)


def _without_folders(message: str) -> str:
    """Names of files alone: where a server keeps them is nobody's business."""
    own = re.escape(str(Path(tempfile.gettempdir()).parent))
    return re.sub(own + _FOLDERS, "", message)
