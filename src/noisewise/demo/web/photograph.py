"""The first tab: a noisy photograph in, a clean one out, with what was found and what was removed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import gradio as gr
from numpy.typing import NDArray

from noisewise.data.formats import SUFFIXES
from noisewise.data.reading import image_suffix, require_pixels
from noisewise.demo.photograph import write_noisy_photograph
from noisewise.demo.web.job import Job, Jobs
from noisewise.demo.web.limits import Limits
from noisewise.demo.web.uploads import require_kept
from noisewise.errors import ArgumentError
from noisewise.methods.single_image import LEARNERS
from noisewise.restore import report_figures as draw
from noisewise.restore.effort import NETWORK, Quality, check_choice
from noisewise.restore.files import denoise_file, read_restored
from noisewise.restore.report import ReportImage, drawn

__all__ = ["photograph_tab"]

_WHOLE_PIXELS = 1_800_000  # of a picture that is shown; the download has them all
_CENTRE = (480, 640)
_LOSSLESS_PIXELS = 450_000  # a PNG pixel of a noisy picture costs several times a JPEG one
_OF_255 = 255
_BEGIN = (
    "Drop a PNG, JPEG, TIFF or WebP of 8 or 16 bit: it is cleaned at once, and can be had in its own format and depth. "
    "It stays on the machine that serves this page."
)

Pair = tuple[str, str]
Shown = tuple[Pair, Pair, str, str, str]
"""Before and after of the whole and of its centre, the residual, the findings, and the file to download."""


def photograph_tab(jobs: Jobs) -> None:
    """Lay the tab out and connect it."""
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            inputs = _controls()
            start = gr.Button("Clean", variant="primary")
            sample = gr.Button("No photograph at hand? Take our lighthouse", size="sm")
        with gr.Column(scale=2, min_width=320):
            outputs = _results()
    run: dict[str, Any] = {"fn": partial(_clean, jobs), "inputs": inputs, "outputs": outputs}
    run |= {"concurrency_id": "work", "concurrency_limit": 1, "show_progress_on": outputs[0]}
    gr.on([start.click, inputs[0].upload], api_name="denoise", **run)
    taken = sample.click(partial(_sample, jobs), None, inputs[0], api_visibility="private")
    taken.then(api_visibility="private", **run)


def _controls() -> list[Any]:
    upload = gr.File(label="Photograph", file_types=list(SUFFIXES), height=150)
    strength = gr.Slider(0, 1, 1.0, step=0.05, label="Strength", info="Share of the noise that is removed.")
    quality = gr.Radio(list(get_args(Quality)), value="fast", label="Quality", info="Best and balanced take longer.")
    with gr.Accordion("More", open=False):
        method = gr.Dropdown(
            [NETWORK, *LEARNERS],
            value=NETWORK,
            label="Method",
            info="All but the network learn from this photograph alone, and take minutes.",
        )
        level = gr.Number(None, label="Noise level, 0 to 255", info="Left empty, it is found at every place.")
    return [upload, strength, quality, method, level]


def _results() -> list[Any]:
    with gr.Tabs():
        with gr.Tab("Before and after"):
            whole = gr.ImageSlider(
                label="Before and after", show_label=False, type="filepath", interactive=False, max_height=440
            )
        with gr.Tab("Centre, pixel for pixel"):
            centre = gr.ImageSlider(label="Centre", show_label=False, type="filepath", interactive=False)
        with gr.Tab("What was removed"):
            residual = gr.Image(
                label="What was removed",
                show_label=False,
                type="filepath",
                interactive=False,
                buttons=["fullscreen"],  # of the others one would share it with the world
            )
    with gr.Row():
        findings = gr.Markdown(_BEGIN, label="Findings")
        download = gr.File(label="Download", interactive=False, height=110)
    return [whole, centre, residual, findings, download]


def _sample(jobs: Jobs) -> Iterator[str]:
    """The photograph that ships with the package, with the noise of a small sensor."""
    with jobs.begin() as work:
        path = work.folder / "lighthouse.png"
        write_noisy_photograph(path)
        yield str(path)


def _clean(
    jobs: Jobs,
    upload: str | None,
    strength: float,
    quality: str,
    method: str,
    level: float | None,
    progress: Callable[..., Any] = gr.Progress(),  # noqa: B008 - how gradio is asked for one
) -> Iterator[Shown]:
    with jobs.begin() as work:
        source = _require_upload(upload, jobs.limits)
        target = work.folder / f"{source.stem}.clean{image_suffix(source)}"
        details = denoise_file(
            source,
            target,
            sigma=_sigma(level),
            strength=strength,
            method=method,
            quality=check_choice(method, quality),
            progress=work.steps(progress, "Cleaning"),
        )
        yield _shown(work, source, target, details)


def _require_upload(upload: str | None, limits: Limits) -> Path:
    if upload is None:
        raise ArgumentError("there is no photograph yet; drop one first")
    require_kept([upload], limits)
    require_pixels(upload, limits.pixels)
    return Path(upload)


def _sigma(level: float | None) -> float | None:
    if level is None:
        return None
    if not 0 <= level <= _OF_255:
        raise ArgumentError(f"expected a noise level from 0 to 255, got {level:g}; leave it empty to have it found")
    return level / _OF_255


def _shown(work: Job, source: Path, target: Path, details: dict[str, Any]) -> Shown:
    image = read_restored(source, target).report_image(source.name)
    size = image.before.shape[:2]
    whole, gain = _saved(work, image, partial(draw.reduced, size=draw.display_size(size, _WHOLE_PIXELS)), "whole")
    cut = tuple(map(min, size, _CENTRE))
    centre, _ = _saved(work, image, partial(draw.centre_crop, size=cut), "centre")
    slid, slid_centre = ((pictures["before"], pictures["after"]) for pictures in (whole, centre))
    return slid, slid_centre, whole["residual"], _findings(image, details, gain), str(target)


def _saved(
    work: Job, image: ReportImage, fit: Callable[[NDArray[Any]], NDArray[Any]], name: str
) -> tuple[dict[str, str], float | None]:
    """Paths of the pictures; all of one encoding, so that it flatters none."""
    pictures, gain = drawn(image, fit)
    lossless = math.prod(pictures["before"].shape[:2]) <= _LOSSLESS_PIXELS
    paths = {kind: work.folder / f"{name}-{kind}.{'png' if lossless else 'jpg'}" for kind in pictures}
    for kind, path in paths.items():
        path.write_bytes(draw.encoded(pictures[kind], lossless=lossless))
    return {kind: str(path) for kind, path in paths.items()}, gain


def _findings(image: ReportImage, details: dict[str, Any], gain: float | None) -> str:
    rows = [
        *image.diagnosis,
        ("Removed", f"noise of sigma {details['sigma']:.1f} of 255, shown {gain or 1:g} times as strong"),
        ("Whiteness of what was removed", f"{details['residual_whiteness']:.2f} of 1"),
    ]
    return "\n".join(f"- **{label}:** {value}" for label, value in rows)
