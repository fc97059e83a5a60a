"""The second tab: a network and unlabelled images in, hardened weights out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gradio as gr

from noisewise.data import ResizedImages
from noisewise.data.formats import SUFFIXES
from noisewise.demo.web.job import Jobs
from noisewise.demo.web.network import image_size, network_controls, uploaded_network
from noisewise.demo.web.uploads import uploaded_images
from noisewise.errors import ArgumentError
from noisewise.methods.denoiserep import Hardened, harden, images_that_fit
from noisewise.models.preprocess import resolve_preprocess
from noisewise.models.weights import state_dict_bytes

__all__ = ["hardening_tab"]

_BEGIN = (
    "Every layer learns to give for noisy images what it gave for clean ones, with no labels and no training. The "
    "result has the same layers and speed, and loads wherever the network does."
)
_MOST_NOISES = 8  # each is a view of every image, in memory at once
_COLUMNS = ["layer", "kind", "shape", "what was done"]

Shown = tuple[str, str, list[list[str]]]
"""What it is worth, the weights to download, and what was done to each layer."""


def hardening_tab(jobs: Jobs) -> None:
    """Lay the tab out and connect it."""
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            inputs = _controls()
            start = gr.Button("Harden", variant="primary")
        with gr.Column(scale=2, min_width=320):
            worth = gr.Markdown(_BEGIN, label="Agreement")
            download = gr.File(label="Hardened weights", interactive=False, height=110)
            layers = gr.Dataframe(headers=_COLUMNS, label="Layers", interactive=False, wrap=True, max_height=420)
    start.click(
        partial(_harden, jobs),
        inputs,
        [worth, download, layers],
        api_name="harden",
        concurrency_id="work",
        concurrency_limit=1,
        show_progress_on=worth,
    )


def _controls() -> list[Any]:
    name, weights = network_controls()
    images = gr.File(
        label="Images without labels, or a zip", file_count="multiple", file_types=[*SUFFIXES, ".zip"], height=150
    )
    noise = gr.Textbox("gaussian:sigma=20", label="Harden against", info="A noise on each line.", lines=2)
    with gr.Accordion("More", open=False):
        weight = gr.Number(
            1.0, label="Weight of the clean view", info="More of it keeps more clean accuracy.", minimum=0
        )
        size = gr.Number(None, label="Side of the images in pixels", info="Left empty, the network says it.")
    return [name, weights, images, noise, weight, size]


def _harden(
    jobs: Jobs,
    name: str,
    weights: str | None,
    images: list[str] | None,
    noise: str,
    clean_weight: float,
    size: float | None,
    progress: Callable[..., Any] = gr.Progress(),  # noqa: B008 - how gradio is asked for one
) -> Iterator[Shown]:
    with jobs.begin() as work:
        paths = uploaded_images(images, work.folder, jobs.limits)
        noises = _noises(noise)
        network = uploaded_network(name, weights, jobs.limits)
        preprocess = resolve_preprocess(network)
        sides = image_size(size, preprocess)
        most = images_that_fit(network, preprocess, sides, views=2 + len(noises))
        pixels = ResizedImages.sample(paths, sides, most).load(work.steps(progress, "Reading images"))
        steps = work.steps(progress, "Fitting layers")
        hardened = harden(network, pixels, noises, preprocess, clean_weight=clean_weight, progress=steps)
        target = work.folder / f"{name.partition(':')[2].strip()}.hardened.safetensors"
        target.write_bytes(state_dict_bytes(hardened.network))
        said = _worth(hardened, preprocess.source, is_random=weights is None)
        yield said, str(target), _rows(hardened)


def _noises(text: str) -> list[str]:
    noises = [line.strip() for line in text.splitlines() if line.strip()]
    if not noises:
        raise ArgumentError("there is no noise to harden against; try gaussian:sigma=20")
    if len(noises) > _MOST_NOISES:
        raise ArgumentError(f"these are {len(noises)} noises, and {_MOST_NOISES} are allowed; leave some out")
    return noises


def _worth(hardened: Hardened, preprocess: str, *, is_random: bool) -> str:
    rows = [
        f"| Of {hardened.kept_apart} images that it was not fitted on | before | after |",
        "|---|---:|---:|",
        f"| kept their clean answer under noise | {_percent(hardened.before)} | {_percent(hardened.after)} |",
        "",
        f"Fitted on {hardened.images} images in {hardened.seconds:.1f} s. Preprocessing: {preprocess}.",
    ]
    rows += ["", "**No weights came, so this network is random and its answers mean nothing.**"] * is_random
    return "\n".join(rows)


def _rows(hardened: Hardened) -> list[list[str]]:
    return [[row.name, row.kind, " x ".join(map(str, row.shape)), row.status] for row in hardened.layers]


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{share} %"
