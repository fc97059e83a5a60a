"""One request at work: a folder of its own, a clock, and errors told on the page."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from noisewise.demo.web.limits import Clock, Limits
from noisewise.errors import NoisewiseError

__all__ = ["Job", "job"]

_FOLDERS = r"[\\/](?:[^:;,]*[\\/])?"
"""What a message says between the folder for temporary files and the name of a file."""


@dataclass(frozen=True)
class Job:
    """What a request works with.

    Attributes:
        folder: for its files; it ends with the job.
        clock: its time.
    """

    folder: Path
    clock: Clock

    def steps(self, progress: Callable[..., Any], said: str) -> Callable[..., None]:
        """To be called after every step with what is done, and with the whole of it unless that is 1.

        Raises:
            LimitError: by the call, when the time is up.
        """

        def tick(done: float, total: float = 1) -> None:
            self.clock.check()
            progress(done / total, desc=said)

        return tick


@contextmanager
def job(limits: Limits) -> Iterator[Job]:
    """Within it a request works; hand over its results before it ends, for its folder ends with it.

    Raises:
        gr.Error: anything went wrong; a visitor reads why, unless it is a defect, which only the log tells.
    """
    with tempfile.TemporaryDirectory(prefix="noisewise-job-") as folder:
        try:
            yield Job(Path(folder), Clock(limits))
        except NoisewiseError as reason:
            raise _told(_without_folders(str(reason))) from reason
        except MemoryError as reason:
            raise _told("this takes more memory than there is; send a smaller image or fewer of them") from reason
        except Exception as reason:
            logging.getLogger(__name__).exception("a request failed")
            raise _told(f"this met a defect of noisewise ({type(reason).__name__}); please report it") from reason


def _told(message: str) -> gr.Error:
    return gr.Error(message[:1].upper() + message[1:], duration=None, print_exception=False)


def _without_folders(message: str) -> str:
    """Names of files alone: where a server keeps them is nobody's business."""
    own = re.escape(str(Path(tempfile.gettempdir()).parent))
    return re.sub(own + _FOLDERS, "", message)
