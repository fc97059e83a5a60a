"""Serve the page, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noisewise.demo.web.limits import Limits
from noisewise.demo.web.sweeping import swept
from noisewise.errors import ArgumentError

if TYPE_CHECKING:
    import gradio as gr

__all__ = ["serve"]

_SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
_QUIET: dict[str, Any] = {"quiet": True, "share": False, "inline": False, "footer_links": [], "run_history": False}
_NOTHING_ELSE: dict[str, Any] = {"ssr_mode": False, "mcp_server": False, "pwa": False, "enable_monitoring": False}
_FONT, _MONO = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
"""Of the visitor's own system, so that none is fetched."""
_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    b"base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Forbids the browser to fetch anything from elsewhere, whatever a library puts into the page."""
_PATIENCE = 10.0
"""Seconds that what is at work has for its last step."""
_HEADERS = [(b"content-security-policy", _POLICY), (b"x-content-type-options", b"nosniff")]


def serve(host: str, port: int, limits: Limits, announce: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM; then remove all uploads and results.

    Args:
        host: address to listen at; ``127.0.0.1`` for this machine alone.
        port: likewise; 0 takes a free one.
        limits: of every request.
        announce: called with the page's address once it answers.

    Raises:
        ArgumentError: gradio is not installed, or the address cannot be listened at.
    """
    _require_gradio()
    port = _free(host, port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the folder would stay
    with _own_folder() as cache, swept(cache, 60 * limits.minutes), suppress(KeyboardInterrupt):
        from noisewise.demo.web.job import Jobs  # only now, for their libraries read their settings as they load
        from noisewise.demo.web.page import build_page

        jobs = Jobs(limits)
        page = build_page(jobs)
        try:
            announce(_launched(page, host, port, limits))
            threading.Event().wait()
        finally:
            jobs.end(_PATIENCE)
            page.close(verbose=False)


def _launched(page: gr.Blocks, host: str, port: int, limits: Limits) -> str:
    import gradio as gr
    from starlette.middleware import Middleware

    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        max_file_size=limits.bytes,
        theme=gr.themes.Default(primary_hue="teal", font=_FONT, font_mono=_MONO),
        app_kwargs={"middleware": [Middleware(_WithPolicy)]},
        **_QUIET,
        **_NOTHING_ELSE,
    )
    return str(address)


class _WithPolicy:
    """Adds what browsers are told for safety to every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_policy if scope["type"] == "http" else send)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Within it, every temporary file of this process goes into a folder that is removed in the end.

    Yields that for uploads and results within it.
    """
    before = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="noisewise-serve-", ignore_cleanup_errors=True) as folder:
        cache, work = Path(folder, "cache"), Path(folder, "work")  # gradio copies results from work to its cache
        cache.mkdir()
        work.mkdir()
        os.environ |= _SETTINGS | {"GRADIO_TEMP_DIR": str(cache)}
        tempfile.tempdir = str(work)
        try:
            yield cache
        finally:
            tempfile.tempdir = before


def _free(host: str, port: int) -> int:
    """The port, if it can be listened at."""
    try:
        with socket.create_server((host, port)) as listener:
            return int(listener.getsockname()[1])
    except (OSError, OverflowError) as reason:
        raise ArgumentError(
            f"cannot listen at {host}, port {port}: {reason}; choose others with --host and --port"
        ) from reason


def _require_gradio() -> None:
    if find_spec("gradio") is None:  # not imported yet, see serve
        raise ArgumentError("the page needs gradio; install it with: pip install 'noisewise[demo]'")
