"""``noisewise corrupt``: make noisy images from clean ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisewise.cli.options import Inputs, Json, Output, Overwrite, Seed

if TYPE_CHECKING:
    from noisewise.contracts import Noise
    from noisewise.data import Source
    from noisewise.data.batch import Outcome

__all__ = ["EXAMPLE", "command"]

EXAMPLE = "Example: noisewise corrupt photos/ -o noisy/ --noise gaussian:sigma=5..50+jpeg:quality=80"


def command(
    inputs: Inputs,
    output: Output,
    noise: Annotated[
        str,
        typer.Option(
            metavar="NAME[:FIELD=VALUE,...][+NAME...]",
            help="The noise; LOW..HIGH draws a value for each image, pixel units are 0-255.",
        ),
    ] = "gaussian:sigma=25",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Add noise to images: gaussian, camera, jpeg, salt_and_pepper and others, alone or in sequence."""
    from noisewise.cli.batch import Tick, report_outcomes, run_files
    from noisewise.noise import parse_noise

    chosen = parse_noise(noise)

    def work(_: int, source: Source, target: Path, tick: Tick) -> Mapping[str, Any]:
        return _corrupt_file(source, target, chosen, seed, overwrite)

    outcomes = run_files(
        inputs,
        output,
        work,
        overwrite=overwrite,
        settings={"command": "corrupt", "noise": noise, "seed": seed},
        describe=None if as_json else _describe,
    )
    report_outcomes(outcomes, as_json=as_json)


def _describe(outcome: Outcome) -> str:
    psnr = outcome.details["psnr"]
    return f"{outcome.target}: unchanged" if psnr is None else f"{outcome.target}: PSNR {psnr:.2f} dB"


def _corrupt_file(source: Source, target: Path, noise: Noise, seed: int, overwrite: bool) -> dict[str, Any]:
    import numpy as np
    import torch

    from noisewise._rng import make_generator
    from noisewise.data import check_output, read_image, write_image
    from noisewise.measure.image import psnr

    image = read_image(source.path)
    check_output(image, target, overwrite=overwrite)
    clean = torch.from_numpy(np.atleast_3d(image.to_float())).movedim(-1, 0)[None]
    name = source.relative.as_posix().encode()  # a file gets the same noise alone and among others
    generator = make_generator(int(np.random.default_rng([seed, *name]).integers(2**63)))
    noisy = noise(clean, generator=generator)
    written = image.with_float(noisy[0].movedim(0, -1).numpy().reshape(image.pixels.shape))
    write_image(written, target, overwrite=overwrite)
    ratio = psnr(noisy, clean, clip=not image.is_float).item()
    return {"psnr": round(ratio, 3) if math.isfinite(ratio) else None}
