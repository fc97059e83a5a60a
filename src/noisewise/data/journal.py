"""Which outputs of a batch are done: an append-only journal that an interrupted batch resumes from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noisewise.data.folders import Source
from noisewise.errors import ArgumentError, OutputError

__all__ = ["FILE_NAME", "Journal"]

FILE_NAME = ".noisewise-journal.jsonl"


class Journal:
    """One JSON line per finished file, in the output folder.

    A file counts as done while its input and its output are as they were (size and time of change) when it was
    recorded, and the settings are the same. Lines that do not parse, as a crash can leave, are ignored.

    Args:
        folder: the output folder; made when the first line is written.
        settings: whatever determines the output besides its input, as JSON values.

    Raises:
        ArgumentError: settings that are not JSON values.
        OutputError: a journal that cannot be read.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, object]) -> None:
        self._folder = Path(folder)
        self._settings = _digest(settings)
        self._lines = {line["output"]: line for line in _parsed(_read(self._path))}

    def done(self, source: Source, output: Path) -> bool:
        """Whether the existing ``output`` was made from this very ``source`` with these settings."""
        try:
            line = self._line(source, output)
        except OSError:
            return False
        return self._lines.get(line["output"]) == line

    def record(self, source: Source, output: Path) -> None:
        """Notes that ``output`` was made from ``source``; to be called right after writing it.

        Raises:
            OutputError: the journal cannot be written.
        """
        try:
            line = self._line(source, output)
            self._append(json.dumps(line))
        except OSError as reason:
            mend = "check the folder's permissions and free space"
            raise OutputError(f"cannot write {self._path}: {reason.strerror}; {mend}") from reason
        self._lines[line["output"]] = line

    @contextmanager
    def recording(self, source: Source, output: Path) -> Iterator[None]:
        """Records ``output`` once the block has written it, even where Ctrl-C comes between the two.

        The block must write it whole or not at all, for what has changed when Ctrl-C comes counts as done.

        Raises:
            OutputError: the journal cannot be written.
        """
        before = _state_if_any(output)
        try:
            yield
            self.record(source, output)
        except KeyboardInterrupt:
            if _state_if_any(output) != before:
                self.record(source, output)
            raise

    @property
    def _path(self) -> Path:
        return self._folder / FILE_NAME

    def _line(self, source: Source, output: Path) -> dict[str, Any]:
        return {
            "output": Path(os.path.relpath(output, self._folder)).as_posix(),
            "output_state": _state(output),
            "input": source.relative.as_posix(),
            "input_state": _state(source.path),
            "settings": self._settings,
        }

    def _append(self, line: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            torn = file.tell() > 0 and not _ends_with_newline(self._path)
            file.write(b"\n" * torn + line.encode() + b"\n")


def _digest(settings: Mapping[str, object]) -> str:
    try:
        text = json.dumps(settings, sort_keys=True)
    except (TypeError, ValueError) as reason:
        raise ArgumentError(f"expected settings of JSON values, but {reason}; convert them first") from reason
    return hashlib.sha256(text.encode()).hexdigest()


def _state(path: Path) -> list[int]:
    """Size in bytes and time of the last change in nanoseconds."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _state_if_any(path: Path) -> list[int] | None:
    try:
        return _state(path)
    except OSError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as reason:
        raise OutputError(f"cannot read {path}: {reason.strerror}; delete it to start over") from reason


def _parsed(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("output"), str):
            yield entry


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
