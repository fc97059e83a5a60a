"""``noisewise serve``: what can be told before the page is up."""

from __future__ import annotations

import socket
import sys

import pytest


def test_without_gradio_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # as Python marks what cannot be imported
    ran = run("serve")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: the page needs gradio; install it with: pip install 'noisewise[demo]'\n"


def test_a_port_that_is_taken(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("serve", "--port", taken.getsockname()[1])
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: cannot listen at 127.0.0.1, port ")
    assert "--port" in ran.err


@pytest.mark.parametrize("option", ["--port", "--max-upload", "--max-seconds", "--max-waiting", "--keep-minutes"])
def test_a_limit_below_any_sense(run, option):
    ran = run("serve", option, "-1")
    assert (ran.code, ran.out) == (2, "")
    assert option in ran.err
