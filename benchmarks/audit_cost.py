"""What an audit costs beside the evaluations that it runs, on images in memory.

    python benchmarks/audit_cost.py --data DIR [--json FILE]

Both are timed in turn, five times, after a first time that does not count; the ratio is the median of the pairs'.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any, get_args

import torch
from torch import nn

from arguments import benchmark_parser, parse_with_data, write_results
from denoiserep import trained
from labelled_sets import tiny_imagenet, unpacked
from noisewise.models.backbones import logits
from noisewise.models.preprocess import resolve_preprocess
from noisewise.models.small import strided_resnet
from noisewise.studies import Order, audit
from noisewise.train.classifier import LabelledPixels
from provenance import provenance

__all__ = ["audit_cost"]

IMAGES, SIZES, REPEATS = 2500, (1, 10, 64), 5


def audit_cost(network: nn.Module, data: LabelledPixels, *, quick: bool = False) -> dict[str, Any]:
    """Seconds of an audit and of its evaluations; images are used again where there are fewer than it takes."""
    order = torch.arange(60 if quick else IMAGES) % len(data.labels)
    inputs, labels = resolve_preprocess(network)(data.images[order] / 255), data.labels[order]
    samples: Any = list(zip(inputs, labels.tolist(), strict=True))
    evaluate(network, samples[:64])
    ask(network, samples[:64])
    plain, audited = [], []
    for _ in range(1 if quick else REPEATS):
        plain.append(seconds(lambda: evaluate(network, samples)))
        audited.append(seconds(lambda: ask(network, samples)))
    ratios = [one / other for one, other in zip(audited, plain, strict=True)]
    found = {"evaluations_seconds": plain, "audit_seconds": audited, "ratios": ratios}
    rounded = {name: [round(value, 3) for value in values] for name, values in found.items()}
    return {"images": len(samples), **rounded, "ratio": round(statistics.median(ratios), 3)}


def ask(network: nn.Module, samples: Any) -> None:
    audit(lambda x: logits(network(x)), samples, batch_sizes=SIZES)


@torch.inference_mode()
def evaluate(network: nn.Module, samples: Any) -> None:
    for _, size in itertools.product(get_args(Order), SIZES):  # the orders cost the same
        for first in range(0, len(samples), size):
            logits(network(torch.stack([image for image, _ in samples[first : first + size]])))


def seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    arguments = parse_with_data(benchmark_parser(__doc__))
    began, network = provenance(0), trained(strided_resnet, "strided_resnet")
    with unpacked(arguments.data / "tiny-imagenet-40.tar") as folder:
        data = tiny_imagenet(folder, "val")
    write_results(audit_cost(network, data) | {"provenance": began}, arguments.json)


if __name__ == "__main__":
    main()
