"""What becomes of a request at work when the server is stopped."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image
from serving import served

pytestmark = pytest.mark.slow

PATIENCE = 60


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_what_is_at_work_ends_and_leaves_nothing_behind(tmp_path, stop):
    temporary = tmp_path / "server"
    temporary.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)).save(tmp_path / "long.png")
    with served(temporary) as server:
        request = (handle_file(tmp_path / "long.png"), 1.0, "best", "self2self", None)
        server.client(tmp_path / "downloads").submit(*request, api_name="/denoise")
        until = time.monotonic() + PATIENCE
        while not list(temporary.rglob("noisewise-job-*")):
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(2)  # it learns by now
        server.process.send_signal(stop)
        assert server.process.wait(PATIENCE) == 0
    assert not list(temporary.iterdir())
