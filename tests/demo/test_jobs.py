"""Requests at work, and the server that waits for them."""

from __future__ import annotations

import threading
import time

import pytest

gr = pytest.importorskip("gradio")

from noisewise.demo.web.job import Jobs  # noqa: E402 - only where gradio is
from noisewise.demo.web.limits import Limits  # noqa: E402

LONG = 30


class Request(threading.Thread):
    """One that takes small steps, or is in the midst of a long one."""

    def __init__(self, jobs, *, steps):
        super().__init__(daemon=True)
        self.jobs, self.steps = jobs, steps
        self.begun, self.over, self.error = threading.Event(), threading.Event(), None
        self.start()
        assert self.begun.wait(LONG)

    def run(self):
        try:
            self.work()
        except gr.Error as error:
            self.error = error

    def work(self):
        with self.jobs.begin() as job:
            tick, self.folder = job.steps(lambda share, desc: None, "Working"), job.folder
            self.begun.set()
            while not self.over.wait(0.01 if self.steps else LONG):
                tick(0.5)


def test_all_end_at_their_next_step_before_the_server_does():
    jobs, start = Jobs(Limits()), time.monotonic()
    requests = [Request(jobs, steps=True) for _ in range(2)]
    jobs.end(LONG)
    assert time.monotonic() - start < LONG
    for request in requests:
        request.join(LONG)
        assert "server stops" in str(request.error)
        assert not request.folder.exists()


def test_one_that_does_not_end_is_not_waited_for_longer_than_said():
    jobs = Jobs(Limits())
    request = Request(jobs, steps=False)
    jobs.end(0.05)
    assert request.is_alive()
    request.over.set()
    request.join(LONG)
    assert request.error is None


def test_none_begins_any_more():
    jobs = Jobs(Limits())
    jobs.end(LONG)
    with pytest.raises(gr.Error, match="server stops"), jobs.begin():
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "more memory than there is"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "more memory than there is"),
        (RuntimeError("shapes differ"), r"defect of noisewise \(RuntimeError\)"),
    ],
)
def test_want_of_memory_is_told_and_no_defect(error, said):
    with pytest.raises(gr.Error, match=said), Jobs(Limits()).begin():
        raise error
