"""``noisewise denoise``: noisy files in, clean files out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.options import Address, Engine, Inputs, Json, Output, Overwrite, is_elsewhere

if TYPE_CHECKING:
    from noisewise.cli.batch import BatchEngine, Tick
    from noisewise.data import Source
    from noisewise.data.batch import Outcome
    from noisewise.restore.denoise import Sigma

__all__ = ["EXAMPLE", "command"]

EXAMPLE = "Example: noisewise denoise photos/ -o clean/ --report"


def command(
    inputs: Inputs,
    output: Output,
    sigma: Annotated[
        str,
        typer.Option(
            metavar="auto|diagnosed|N",
            help="Standard deviation of the noise, 0-255; auto is found at every place, diagnosed in the whole image.",
        ),
    ] = "auto",
    strength: Annotated[float, typer.Option(min=0, max=1, help="Share of the noise that is removed.")] = 1.0,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="network, or what learns from this image alone and takes minutes: self2self, deep_image_prior, "
            "noisier2noise, zero_shot_n2n, gain_tuning.",
        ),
    ] = "network",
    quality: Annotated[
        str,
        typer.Option(
            metavar="fast|balanced|best",
            help="Of the network two views or, for both others, eight, and coarse grain is removed, too, unless "
            "the noise is white or --sigma told; of a learner a quarter, all, or four times of its steps.",
        ),
    ] = "fast",
    residual: Annotated[
        bool, typer.Option("--residual", help="Write what was removed, too, as IMAGE.residual.png.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write an HTML page with before/after sliders beside the output.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Weights from `noisewise pretrain`: the network, or where a learner starts.")
    ] = None,
    engine: Engine = "local",
    address: Address = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Clean noisy photographs: PNG, JPEG, TIFF and WebP, 8 and 16 bit.

    Depth, size, profile and EXIF are kept. A folder that was interrupted
    resumes. Inputs are never overwritten unless --overwrite says so.
    """
    from noisewise.cli.batch import report_outcomes, run_files
    from noisewise.cli.pages import refuse_existing_page, write_page
    from noisewise.restore.effort import check_choice, load_start

    level, effort = _parse_sigma(sigma), check_choice(method, quality)
    model = None if weights is None else load_start(method, weights)
    if report and not overwrite:
        refuse_existing_page(output)
    elsewhere = _engine(engine, address, residual=residual, overwrite=overwrite)

    told = {"sigma": level, "strength": strength, "method": method, "quality": effort}
    options = told | {
        "residual": residual,
        "overwrite": overwrite or elsewhere is not None,  # which has looked, and may have to do a file again
        "model": model,
    }
    outcomes = run_files(
        inputs,
        output,
        partial(_clean, options),
        overwrite=overwrite,
        settings=told | {"residual": residual, "weights": _identity(weights)},
        describe=None if as_json else partial(_describe, level is None, strength),
        engine=elsewhere,
    )
    if not as_json:
        _print_findings(outcomes)
    try:
        if report:
            write_page(outcomes, output, overwrite=overwrite)
    finally:  # a page that cannot be written must not hide what became of the files
        report_outcomes(outcomes, as_json=as_json)


def _clean(options: Mapping[str, Any], _: int, source: Source, target: Path, tick: Tick) -> Mapping[str, Any]:
    """One file; a function of this module, where the workers of a cluster find it."""
    from noisewise.restore.files import denoise_file

    return denoise_file(source.path, target, progress=tick, **options)


def _parse_sigma(text: str) -> Sigma | None:
    from noisewise.errors import ArgumentError

    if text == "auto":
        return None
    if text == "diagnosed":
        return "diagnosed"
    try:
        level = float(text) / 255
    except ValueError:
        level = -1.0
    if not 0 <= level <= 1:
        raise ArgumentError(f"expected --sigma auto, diagnosed or a number from 0 to 255, got {text!r}")
    return level


def _engine(name: str, address: str | None, *, residual: bool, overwrite: bool) -> BatchEngine | None:
    """What cleans files somewhere else than here, if anything."""
    from noisewise.data.ray_batch import run_batch_on_ray
    from noisewise.restore.files import refuse_existing

    if not is_elsewhere(name, address):
        return None

    def check(target: Path) -> None:
        if not overwrite:
            refuse_existing(target, residual=residual)

    return partial(run_batch_on_ray, check=check, address=address)


def _identity(weights: Path | None) -> list[object] | None:
    """Tells weights that were trained anew from those that an earlier run used."""
    if weights is None:
        return None
    status = weights.stat()
    return [str(weights.absolute()), status.st_size, status.st_mtime_ns]


def _describe(level_was_found: bool, strength: float, outcome: Outcome) -> str:
    details = outcome.details
    proof = f"residual whiteness {details['residual_whiteness']:.2f}"
    hint = _hint(details["diagnosis"]["noise_level"], details["sigma"]) if level_was_found and strength == 1 else ""
    share = "" if strength == 1 else f"{100 * strength:.3g} % of "
    removed = f"removed {share}noise of sigma {details['sigma']:.1f} of 255"
    return f"{outcome.target}: {removed}, {proof}, {outcome.seconds:.1f} s{hint}"


def _hint(seen: float, found: float) -> str:
    """That the network may have taken noise for texture, as it does in grey images; levels on the 0-255 scale."""
    from noisewise.restore.level import is_missed

    if not is_missed(seen / 255, found / 255):
        return ""
    return f"; it looks like sigma {seen:.0f}: if grain is left, try --sigma diagnosed"


def _print_findings(outcomes: Sequence[Outcome]) -> None:
    """What was found in a single file; in a batch it would drown the rest."""
    from noisewise.cli.batch import console

    if len(outcomes) == 1:
        for finding in outcomes[0].details.get("found", ()):
            console.print(f"  {finding}", soft_wrap=True)
