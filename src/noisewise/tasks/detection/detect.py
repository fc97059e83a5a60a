"""Run a detector over photographs, clean or noisy, whichever library it comes from."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from noisewise.contracts import Noise
from noisewise.data.detection import Objects
from noisewise.errors import ArgumentError
from noisewise.measure.detection import Detected, Truth
from noisewise.models.preprocess import network_input
from noisewise.tasks.comparable import Progress, ignored
from noisewise.tasks.noisy_batches import Preprocess, add_noise, evaluation_mode

__all__ = ["Photographs", "detect", "detections"]


class Photographs(Protocol):
    """Images ``3 x H x W`` in [0, 1], each in its own size, with what they show."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, Objects]:
        """One of them."""
        ...


_MASK = 0.5
"""From which probability a pixel belongs to a mask, as torchvision's documentation has it."""


def detect(
    model: nn.Module,
    photographs: Photographs,
    *,
    noise: Noise | None = None,
    seed: int = 0,
    preprocess: Preprocess | None = None,
    masks: bool = True,
    progress: Progress = ignored,
) -> tuple[list[Detected], list[Truth]]:
    """What ``model`` finds in each photograph, in evaluation mode and on its own device, beside what there is.

    Args:
        model: a detector of torchvision, or one of transformers with logits and boxes for each of its queries; left in
            the mode it was in.
        photographs: passed one by one, in their own size.
        noise: what corrupts them, if anything; drawn for each from ``seed`` and its place.
        seed: of the noise.
        preprocess: from the pixels to the input of the network; nothing if None.
        masks: keep them where the model draws any: a hundred objects of a photograph take tens of megabytes.
        progress: called after each photograph with the number of those done.

    Raises:
        ArgumentError: there is none, or the model is no detector.
    """
    found, truths = [], []
    with evaluation_mode(model), torch.inference_mode():
        for index in range(len(photographs)):
            image, objects = photographs[index]
            size = image.shape[1], image.shape[2]
            pixels = image[None] if noise is None else add_noise(image[None], noise, seed, first=index)
            one = detections(model, model(network_input(model, pixels, preprocess)), size)
            found.append(one if masks else one._replace(masks=None))
            truths.append(Truth(size, *objects))
            progress(index + 1)
    if not found:
        raise ArgumentError("expected photographs with objects, got none")
    return found, truths


def detections(model: Any, output: Any, size: tuple[int, int]) -> Detected:
    """What a detector says of one image, in its pixels.

    Args:
        model: that said it.
        output: for a batch of one image: a list with ``boxes``, ``labels``, ``scores`` and, it may be, ``masks``
            (torchvision), or an object with ``logits`` and ``pred_boxes`` (transformers).
        size: height and width of the image.

    Raises:
        ArgumentError: the output is neither.
    """
    if isinstance(output, list) and output and isinstance(output[0], Mapping) and "boxes" in output[0]:
        first = output[0]
        masks = first["masks"][:, 0] > _MASK if "masks" in first else None
        return _on_cpu(Detected(first["boxes"], first["labels"], first["scores"], masks))
    if hasattr(output, "logits") and hasattr(output, "pred_boxes"):
        (first,) = _processor(model).post_process_object_detection(output, threshold=0.0, target_sizes=[size])
        return _on_cpu(Detected(first["boxes"], first["labels"], first["scores"]))
    raise ArgumentError(
        f"expected boxes with classes and scores of a detector, got {type(output).__name__}; choose a network that "
        "detects objects"
    )


def _processor(model: Any) -> Any:
    """What reads the output of this kind of network; what it would do with images is not asked for."""
    auto = importlib.import_module("transformers.models.auto.image_processing_auto")
    found = auto.IMAGE_PROCESSOR_MAPPING[type(model.config)]  # a tuple until transformers 5, a mapping from then on
    classes = list(found.values() if isinstance(found, Mapping) else found)
    return next(one for one in reversed(classes) if one is not None)()


def _on_cpu(found: Detected) -> Detected:
    masks = None if found.masks is None else found.masks.cpu()
    return Detected(found.boxes.cpu(), found.labels.cpu(), found.scores.cpu(), masks)
