"""Table 1 of DenoiseRep (Xu et al., NeurIPS 2024): what it reports, and the same measured on one's own data.

Measured is the paper's method without labels: a denoiser before every layer at the paper's diffusion steps, its optimum
in closed form, fused into the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from noisewise._registry import Registry
from noisewise.errors import ArgumentError
from noisewise.measure.statistics import Interval
from noisewise.methods.denoiserep import Branched, attach
from noisewise.models.backbones import TaskName
from noisewise.models.preprocess import Preprocess, network_input
from noisewise.studies.comparison import (
    Comparison,
    ComparisonSettings,
    compare_classifiers,
    compare_detectors,
    compare_embedders,
    compare_segmenters,
)

__all__ = ["TABLE1", "MeasuredRow", "Published", "Table1Row", "measure_row"]

_AUTHORS = "the results table of github.com/wangguanan/DenoiseRep"

_TOLERANCE = 1e-3
"""Between the fused network and the one with denoisers beside its layers, in single precision."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


class Published(NamedTuple):
    """What is reported, in percent."""

    network: str
    baseline: float
    result: float
    """With DenoiseRep."""
    source: str
    """Where it was read: a table, or an option of the command line."""


@dataclass(frozen=True)
class Table1Row:
    """A row of the table.

    Attributes:
        task: that the network is built for.
        title: of the data set.
        dataset: the name of its reader.
        metric: what is measured, in percent.
        network: to measure unless another is named; None where no library has one that fits.
        published: what stands beside the measured figures; None where none could be verified, which the paper's Table 1
            has (arXiv 2406.08773).
        compare: reader, folder and settings to what is measured there.
    """

    task: TaskName
    title: str
    dataset: str
    metric: str
    network: str | None
    published: Published | None
    compare: Callable[[str, Path, ComparisonSettings], Comparison[Any]]

    def open(self, root: Path, settings: ComparisonSettings) -> Comparison[Any]:
        """The data set in ``root``.

        Raises:
            ArgumentError: a size that is missing, or that the task has no use for.
            DatasetError: the folder does not have the layout of the set.
        """
        return self.compare(self.dataset, root, settings)


TABLE1: Registry[Table1Row] = Registry("row of Table 1")
"""Rows by the name of their task: ``classification``, ``reid``, ``detection`` and ``segmentation``."""

TABLE1.register("classification")(
    Table1Row(
        "classification",
        "ImageNet",
        "imagenet",
        "top-1",
        "timm:swinv2_tiny_window8_256",
        Published("Swin V2-T", 81.8, 82.1, _AUTHORS),
        compare_classifiers,
    )
)
TABLE1.register("reid")(
    Table1Row(
        "classification",
        "MSMT17",
        "msmt17",
        "mAP",
        None,
        Published("TransReID-SSL ViT-S", 66.3, 67.3, _AUTHORS),
        compare_embedders,
    )
)
TABLE1.register("detection")(
    Table1Row("detection", "COCO", "coco", "box AP", "torchvision:fasterrcnn_resnet50_fpn", None, compare_detectors)
)
TABLE1.register("segmentation")(
    Table1Row("segmentation", "ADE20K", "ade20k", "mIoU", "torchvision:fcn_resnet50", None, compare_segmenters)
)


@dataclass(frozen=True)
class MeasuredRow:
    """A row on one's own data.

    Attributes:
        baseline: the network as it came, in percent.
        result: with DenoiseRep in its weights, in percent.
        difference: the second less the first in points, with its 95 % interval.
        test_images: that both were asked about, clean.
        training_images: that were looked at, without labels.
        layers: that were denoised.
        other_layers: with a weight matrix, but refused, or never called as modules.
    """

    baseline: float
    result: float
    difference: Interval
    test_images: int
    training_images: int
    layers: int
    other_layers: int


def measure_row(
    network: nn.Module,
    comparison: Comparison[Any],
    preprocess: Preprocess,
    *,
    limit: int = 1000,
    progress: Progress = lambda what, done, total: None,
) -> MeasuredRow:
    """What a network is worth as it came and with DenoiseRep in its weights.

    Args:
        network: a trained one in evaluation mode; left as it is, and run on its own device.
        comparison: from `Table1Row.open`.
        preprocess: from pixels in [0, 1] to the input of the network.
        limit: training images to fit on at most, evenly spread over all.
        progress: called after each batch.

    Raises:
        ArgumentError: fewer than two images to fit on, or as the task has it.
        SurgeryError: no layer can be denoised, or fusing changed what the network says.
    """
    handle, used = _fitted(network, comparison, preprocess, limit, progress)
    fused = handle.fuse(_check(network, comparison, preprocess), tolerance=_TOLERANCE)
    task, networks = comparison.task, {"the baseline": network, "DenoiseRep": fused}
    found = [
        task.find(one, partial(_told, progress, f"measuring {name}", comparison.images))
        for name, one in networks.items()
    ]
    baseline, result = (next(value for _, value in task.metrics(one)) for one in found)
    difference = task.difference(found[1], found[0], partial(progress, "resampling"))
    denoised = len(handle.maps())
    return MeasuredRow(baseline, result, difference, comparison.images, used, denoised, len(handle.layers) - denoised)


def _fitted(
    network: nn.Module, comparison: Comparison[Any], preprocess: Preprocess, limit: int, progress: Progress
) -> tuple[Branched, int]:
    """The network with its denoisers, and the number of images that they were fitted on."""
    images = comparison.training
    count = min(limit, len(images))
    if count < 2:
        raise ArgumentError(f"expected at least two training images to fit on, got {count}; some hundreds are better")
    spread = Subset(images, [i * len(images) // count for i in range(count)])

    def inputs() -> Iterator[Tensor]:
        done = 0
        for pixels in DataLoader(spread, batch_size=comparison.together):
            yield network_input(network, pixels, preprocess)
            done += len(pixels)
            progress("fitting", done, count)

    return attach(network, mode="ddpm").fit(inputs()), count


def _check(network: nn.Module, comparison: Comparison[Any], preprocess: Preprocess) -> Tensor | None:
    """An input on which fusing must change nothing; none for detectors, which choose boxes by comparing numbers."""
    if comparison.discrete:
        return None
    return network_input(network, comparison.training[0][None], preprocess)


def _told(progress: Progress, what: str, total: int, done: int) -> None:
    progress(what, done, total)
