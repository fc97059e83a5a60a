"""The third tab: a network and labelled images in; out comes whether its answers depend on the rest of the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import gradio as gr
from torch import nn

from noisewise.data.classification import CLASSIFICATION_DATASETS, resize_and_crop
from noisewise.demo.web.job import Job, Jobs
from noisewise.demo.web.network import image_size, network_controls, uploaded_network
from noisewise.demo.web.uploads import class_folder, uploaded_images
from noisewise.models.preprocess import resolve_preprocess
from noisewise.noise import parse_feature_noise
from noisewise.studies import AuditReport, Order, audit, network_predictor
from noisewise.surgery import inject
from noisewise.train.in_memory import read_once

__all__ = ["audit_tab"]

_BEGIN = (
    "The same images are predicted in given, shuffled and class-sorted order, and in batches of several sizes. An "
    "honest network gives each image the same answer every time. To see one that does not, choose a noise inside."
)
_NONE = "none"
_NOISES = [_NONE, "optimal", "circular:strength=0.3", "gaussian:sigma=1", "salt_and_pepper:probability=0.1"]
_BATCHES = (1, 10, 64)
_COLUMNS = {
    "order": "order",
    "batch_size": "batch size",
    "accuracy": "accuracy, %",
    "ci95": "95 % interval",
    "purity": "purity, %",
    "moved": "moved, %",
    "changed": "changed, %",
}
_LEGEND = (
    "Purity: pairs of batch mates with one label. Moved: images whose scores differ from those of the first row by "
    "more than rounding. Changed: those whose class differs."
)

Shown = tuple[str, list[list[str]]]
"""The verdict, and the table of runs."""


def audit_tab(jobs: Jobs) -> None:
    """Lay the tab out and connect it."""
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            inputs = _controls()
            start = gr.Button("Audit", variant="primary")
        with gr.Column(scale=2, min_width=320):
            verdict = gr.Markdown(_BEGIN, label="Verdict")
            table = gr.Dataframe(headers=list(_COLUMNS.values()), label="Runs", interactive=False, wrap=True)
            gr.Markdown(_LEGEND)
    start.click(
        partial(_audit, jobs),
        inputs,
        [verdict, table],
        api_name="audit",
        concurrency_id="work",
        concurrency_limit=1,
        show_progress_on=verdict,
    )


def _controls() -> list[Any]:
    name, weights = network_controls()
    images = gr.File(label="Images: a zip with one folder for each class", file_types=[".zip"], height=150)
    noise = gr.Dropdown(
        _NOISES, value=_NONE, label="Noise inside the network, last block", allow_custom_value=True, filterable=True
    )
    with gr.Accordion("More", open=False):
        size = gr.Number(None, label="Side of the images in pixels", info="Left empty, the network says it.")
    return [name, weights, images, noise, size]


def _audit(
    jobs: Jobs,
    name: str,
    weights: str | None,
    images: str | None,
    noise: str,
    size: float | None,
    progress: Callable[..., Any] = gr.Progress(),  # noqa: B008 - how gradio is asked for one
) -> Iterator[Shown]:
    with jobs.begin() as work:
        uploaded_images([images] if images else None, work.folder, jobs.limits)
        network = uploaded_network(name, weights, jobs.limits)
        with inject(network, _inside(noise), when="test", allow_batch_mixing=True):
            report = _report(network, class_folder(work.folder), size, work, progress)
        yield _verdict(report, is_random=weights is None), _rows(report)


def _inside(noise: str) -> dict[str | int, Any]:
    return {} if noise.strip() in ("", _NONE) else {"last": parse_feature_noise(noise.strip())}


def _report(
    network: nn.Module, folder: Path, size: float | None, work: Job, progress: Callable[..., Any]
) -> AuditReport:
    preprocess = resolve_preprocess(network)
    side = min(image_size(size, preprocess))
    images = CLASSIFICATION_DATASETS["folder"](folder, transform=resize_and_crop(side))
    read = read_once(images, progress=work.steps(progress, "Reading images"))
    total, steps = len(get_args(Order)) * len(_BATCHES) * len(images), work.steps(progress, "Predicting")
    predict = network_predictor(network, preprocess)
    return audit(predict, read, batch_sizes=_BATCHES, progress=lambda done: steps(done, total))


def _verdict(report: AuditReport, *, is_random: bool) -> str:
    mates = report.mates
    verdict = "depend on the other images of the batch" if report.order_dependent else "do not depend on the batch"
    lines = [
        f"### Predictions {verdict}",
        f"Swapping batch mates moves scores by {mates.swapped:.2%} of the distance between two images.",
    ]
    if not mates.deterministic:
        lines.append(f"The predictions are random: repeating them moves scores by {mates.repeated:.2%}.")
    lines += ["**No weights came, so this network is random and its accuracy means nothing.**"] * is_random
    return "\n\n".join(lines)


def _rows(report: AuditReport) -> list[list[str]]:
    return [[_cell(row.get(column)) for column in _COLUMNS] for row in report.table]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "{:.1f} to {:.1f}".format(*value)
    return "-" if value is None else str(value)
