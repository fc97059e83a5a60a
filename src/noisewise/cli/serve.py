"""``noisewise serve``: clean, harden and audit in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from noisewise.demo.web.limits import Limits

__all__ = ["EXAMPLE", "command"]

EXAMPLE = "Example: noisewise serve --port 8000 --max-upload 100"

_DEFAULT = Limits()


def command(
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in, with no password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 7860,
    max_upload: Annotated[
        int, typer.Option(min=1, metavar="MB", help="Of one uploaded file, and of what a zip unpacks to.")
    ] = _DEFAULT.megabytes,
    max_pixels: Annotated[
        float, typer.Option(min=0.01, metavar="MEGAPIXELS", help="Of one image.")
    ] = _DEFAULT.megapixels,
    max_images: Annotated[int, typer.Option(min=3, help="To harden or audit a network with.")] = _DEFAULT.images,
    max_seconds: Annotated[int, typer.Option(min=1, help="That one request may work.")] = _DEFAULT.seconds,
    max_waiting: Annotated[int, typer.Option(min=1, help="Requests that wait for their turn.")] = _DEFAULT.waiting,
    keep_minutes: Annotated[int, typer.Option(min=1, help="After which uploads and results go.")] = _DEFAULT.minutes,
) -> None:
    """A page in the browser: drop a photograph and see it clean, harden a network, audit what it predicts.

    Works offline and sends nothing anywhere. Uploads and results are removed
    after a while, and when the server stops. Requests work one at a time.
    """
    from noisewise.demo.web.server import serve

    limits = Limits(max_upload, max_pixels, max_images, max_seconds, max_waiting, keep_minutes)
    serve(host, port, limits, announce=lambda address: typer.echo(f"open {address} in a browser; Ctrl-C stops"))
