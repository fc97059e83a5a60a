"""``noisewise denoise``: noisy files in, clean files out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.options import Inputs, Json, Output, Overwrite

if TYPE_CHECKING:
    from noisewise.data import Source
    from noisewise.data.batch import Outcome
    from noisewise.restore.report import ReportImage

__all__ = ["EXAMPLE", "command"]

EXAMPLE = "Example: noisewise denoise photos/ -o clean/ --report clean/report.html"

_REPORTED = 24


def command(
    inputs: Inputs,
    output: Output,
    sigma: Annotated[
        str,
        typer.Option(
            metavar="auto|N", help="Standard deviation of the noise on the 0-255 scale, or found at every place."
        ),
    ] = "auto",
    strength: Annotated[float, typer.Option(min=0, max=1, help="Share of the noise that is removed.")] = 1.0,
    residual: Annotated[
        bool, typer.Option("--residual", help="Write what was removed, too, as NAME.residual.png.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write an HTML page with before/after sliders beside the output.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Weights from `noisewise pretrain` instead of the shipped ones.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Clean noisy photographs: PNG, JPEG, TIFF, WebP, 8 and 16 bit, files and folders.

    Depth, size, profile and EXIF are kept. A folder that was interrupted resumes; inputs are never overwritten unless
    --overwrite says so.
    """
    from noisewise.cli.batch import Tick, report_outcomes, run_files
    from noisewise.models import load_denoiser
    from noisewise.restore.files import denoise_file

    level = _parse_sigma(sigma)
    model = None if weights is None else load_denoiser(weights)
    pages: list[ReportImage] = []

    def work(_: int, source: Source, target: Path, tick: Tick) -> Mapping[str, Any]:
        result = denoise_file(
            source.path,
            target,
            sigma=level,
            strength=strength,
            residual=residual,
            overwrite=overwrite,
            model=model,
            progress=tick,
        )
        if report and len(pages) < _REPORTED:
            pages.append(result.report_image(str(source.relative)))
        return result.as_dict()

    settings = {"sigma": sigma, "strength": strength, "residual": residual, "weights": str(weights)}
    describe = None if as_json else _describe
    outcomes = run_files(inputs, output, work, overwrite=overwrite, settings=settings, describe=describe)
    if pages:
        _write_report(pages, output, len(outcomes), overwrite)
    report_outcomes(outcomes, as_json=as_json)


def _parse_sigma(text: str) -> float | None:
    from noisewise.errors import ArgumentError

    if text == "auto":
        return None
    try:
        level = float(text) / 255
    except ValueError:
        level = -1.0
    if not 0 <= level <= 1:
        raise ArgumentError(f"expected --sigma auto or a number from 0 to 255, got {text!r}")
    return level


def _describe(outcome: Outcome) -> str:
    details = outcome.details
    found = "; ".join(details["found"])
    did = f"removed noise of level {details['sigma']:.1f}, residual whiteness {details['residual_whiteness']:.2f}"
    return f"{outcome.target}\n  found: {found}\n  did:   {did}, {outcome.seconds:.1f} s"


def _write_report(pages: list[ReportImage], output: Path, count: int, overwrite: bool) -> None:
    from noisewise.restore.report import write_report

    folder = output.parent if output.suffix and not output.is_dir() else output
    name = f"{output.stem}.report.html" if folder != output else "noisewise-report.html"
    shown = f", the first {len(pages)} of them shown" if count > len(pages) else ""
    write_report(
        pages, folder / name, title="noisewise", summary=f"{count} images denoised{shown}", overwrite=overwrite
    )
    typer.echo(f"report: {folder / name}", err=True)
