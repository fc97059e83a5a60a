"""How often batch mates share a label: the leak that a predictor which mixes samples feeds on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Integer
from torch import Tensor

from noisewise.errors import ArgumentError

__all__ = ["chance_purity", "label_purity"]


def label_purity(batches: Iterable[Integer[Tensor, " batch"]]) -> float:
    """Share of the pairs of batch mates that have the same label, over all batches of two samples or more.

    1 for batches of one class each; :func:`chance_purity` for batches made up at random. Those of a loader are
    ``(labels for images, labels in loader)``.

    Raises:
        ArgumentError: no batch has two samples.
    """
    equal = pairs = 0.0
    for labels in batches:
        _, counts = torch.unique(labels, return_counts=True)
        equal += float((counts * (counts - 1)).sum())
        pairs += len(labels) * (len(labels) - 1)
    if not pairs:
        raise ArgumentError("expected a batch of at least two labels, got none; raise the batch size")
    return equal / pairs


def chance_purity(labels: Integer[Tensor, " samples"]) -> float:
    """The expected purity of batches drawn at random from ``labels``, without replacement."""
    return label_purity([labels])
