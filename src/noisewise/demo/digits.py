"""Second chapter: a small classifier of real scanned digits, trained here on clean ones, then hardened against noise.

``assets/digits.npz`` is the Optical Recognition of Handwritten Digits data set (Alpaydin and Kaynak 1998, UCI Machine
Learning Repository, CC BY 4.0): 1,797 digits of 8 x 8 pixels, values 0 to 16.
"""

from __future__ import annotations

import time
from importlib.resources import as_file, files

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisewise._rng import initialised, make_generator
from noisewise.methods.denoiserep import attach
from noisewise.noise import parse_noise
from noisewise.restore.report import ReportTable

__all__ = ["harden_classifier"]

_TRAINING = 1200
_EPOCHS, _BATCH, _RATE = 15, 60, 3e-3
_HARDENED_AGAINST = ("gaussian:sigma=60", "gaussian:sigma=100")
_TESTED = (0, 30, 60, 90, 120)


def harden_classifier() -> tuple[ReportTable, dict[str, dict[str, float]]]:
    """Table of the page, and accuracy in percent before and after for each noise level."""
    images, labels = _digits()
    train, test = slice(_TRAINING), slice(_TRAINING, None)
    model = _trained(images[train], labels[train])
    start = time.perf_counter()
    handle = attach(model, mode="paired").fit_paired(images[train], _HARDENED_AGAINST, preprocess=nn.Identity())
    hardened = handle.fuse()
    seconds = time.perf_counter() - start
    figures = {}
    for sigma in _TESTED:
        noisy = parse_noise(f"gaussian:sigma={sigma}")(images[test], generator=make_generator(1))
        before, after = (_accuracy(network, noisy, labels[test]) for network in (model, hardened))
        figures[f"Gaussian noise, sigma {sigma}"] = {"before": before, "after": after}
    return _table(figures, seconds, len(labels[test])), figures


def _digits() -> tuple[Tensor, Tensor]:
    """Images ``1797 x 1 x 8 x 8`` in [0, 1] and labels, shuffled."""
    with as_file(files("noisewise.demo") / "assets" / "digits.npz") as path, np.load(path) as data:
        images, labels = torch.from_numpy(data["images"]), torch.from_numpy(data["labels"])
    order = torch.randperm(len(images), generator=make_generator(0))
    return images[order, None].float() / 16, labels[order].long()


def _network() -> nn.Sequential:
    blocks = (_block(1, 16, 1), _block(16, 32, 2), _block(32, 64, 2))
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _trained(images: Tensor, labels: Tensor) -> nn.Module:
    model, generator = initialised(_network, 0), make_generator(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
    for _ in range(_EPOCHS):
        for batch in torch.split(torch.randperm(len(images), generator=generator), _BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(model(images[batch]), labels[batch]))
            optimizer.step()
    return model.eval()


@torch.inference_mode()
def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return 100 * float((model(images).argmax(1) == labels).float().mean())


def _table(figures: dict[str, dict[str, float]], seconds: float, tested: int) -> ReportTable:
    rows = [(label, f"{figure['before']:.1f} %", f"{figure['after']:.1f} %") for label, figure in figures.items()]
    note = (
        f"Accuracy on {tested} scanned digits of a classifier trained on {_TRAINING:,} clean ones. It was hardened in "
        f"{seconds:.1f} s with the images it was trained on, no label and no gradient; its layers stay as they were."
    )
    return ReportTable("A classifier, hardened against noise", ("", "Before", "After"), rows, note)
