"""What one visitor of the page may ask of the machine that serves it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from noisewise.errors import LimitError

__all__ = ["Clock", "Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits of ``noisewise serve``; each is an option of the command.

    Attributes:
        megabytes: of one uploaded file, and of what a zip unpacks to.
        megapixels: of one image.
        images: in one set that a network is hardened or audited with.
        seconds: that one request may work.
        waiting: requests that wait for their turn.
        minutes: that uploads and results are kept.
    """

    megabytes: int = 512
    megapixels: float = 50.0
    images: int = 2000
    seconds: int = 900
    waiting: int = 20
    minutes: int = 30

    @property
    def bytes(self) -> int:
        """Most bytes of one uploaded file."""
        return self.megabytes * 1_000_000

    @property
    def pixels(self) -> int:
        """Most pixels of one image."""
        return round(self.megapixels * 1e6)


class Clock:
    """Looks after the time of one request; it is asked after every step, for a step cannot be cut short."""

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.seconds
        self._end = time.monotonic() + limits.seconds

    def check(self) -> None:
        """Fails when the time is up.

        Raises:
            LimitError: it is.
        """
        if time.monotonic() > self._end:
            raise LimitError(
                f"this took longer than the {self._seconds} seconds that a request may; send a smaller image or fewer "
                "of them, or choose what is quicker"
            )
