"""What hardening costs beside plain inference on the same views: seconds and memory, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import Tensor, nn

from defences import VIEWS
from noisewise.methods.denoiserep import attach
from noisewise.models.preprocess import resolve_preprocess
from provenance import peak_memory_mb

__all__ = ["fit_cost"]

_COPIES = 2 + len(VIEWS)  # clean for the teacher and for the student, and the noisy views


def fit_cost(network: nn.Module, images: Tensor) -> dict[str, float]:
    """Seconds and megabytes of one plain pass over all views at once and of the paired fit, and their ratios."""
    plain_seconds, plain_memory = _in_a_process_of_its_own(plain_pass, network, images)
    paired_seconds, paired_memory = _in_a_process_of_its_own(paired_fit, network, images)
    return {
        "images": len(images),
        "views": _COPIES,
        "plain_pass_seconds": round(plain_seconds, 2),
        "paired_seconds": round(paired_seconds, 2),
        "forward_passes": round(paired_seconds / plain_seconds, 2),
        "plain_memory_mb": round(plain_memory),
        "paired_memory_mb": round(paired_memory),
        "memory_ratio": round(paired_memory / max(1.0, plain_memory), 2),  # a few images take nothing new
    }


def plain_pass(network: nn.Module, images: Tensor) -> tuple[float, float]:
    preprocess = resolve_preprocess(network)

    def work() -> None:
        with torch.inference_mode():
            network(preprocess(images.repeat(_COPIES, 1, 1, 1)))

    return _measured(work, network, images)


def paired_fit(network: nn.Module, images: Tensor) -> tuple[float, float]:
    return _measured(lambda: attach(network, mode="paired").fit_paired(images, VIEWS), network, images)


def _measured(work: Callable[[], object], network: nn.Module, images: Tensor) -> tuple[float, float]:
    """Seconds, and megabytes beyond what the process had taken before, after one small pass as a warm-up."""
    with torch.inference_mode():
        network(resolve_preprocess(network)(images[:32]))
    before, start = peak_memory_mb(), time.perf_counter()
    work()
    return time.perf_counter() - start, peak_memory_mb() - before


def _in_a_process_of_its_own(
    measure: Callable[[nn.Module, Tensor], tuple[float, float]], network: nn.Module, images: Tensor
) -> tuple[float, float]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, network, images).result()
