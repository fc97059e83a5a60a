"""The page, served by the real command in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
from gradio_client import Client

_PATIENCE = 60


class Server(NamedTuple):
    """A running server."""

    address: str
    process: subprocess.Popen[str]
    temporary: Path

    def client(self, folder: Path) -> Client:
        """A client of the page, which downloads into ``folder``."""
        return Client(self.address, verbose=False, download_files=str(folder), analytics_enabled=False)

    def memory(self) -> int:
        """Resident bytes of the server."""
        return psutil.Process(self.process.pid).memory_info().rss


@contextmanager
def served(temporary: Path, *options: object) -> Iterator[Server]:
    """``noisewise serve`` with its temporary files in ``temporary``; ended by SIGTERM."""
    command = [sys.executable, "-m", "noisewise", "serve", "--port", "0", *map(str, options)]
    environment = os.environ | {"TMPDIR": str(temporary)}
    # tests that a shell runs in the background ignore Ctrl-C, and so would what they start
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=environment, preexec_fn=heed)
    try:
        said = process.stdout.readline()
        yield Server(re.search(r"http://\S+", said)[0], process, temporary)
    finally:
        process.terminate()
        process.wait(_PATIENCE)
