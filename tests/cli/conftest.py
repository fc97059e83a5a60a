"""Run the command line inside this process, on small noisy photographs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from command_line import NETWORK, Ran, Run, photo, save_random_weights

from noisewise.cli import main
from noisewise.models import BlindDenoiser, save_network

ARCHITECTURE = {"widths": [8, 8], "blocks": [1, 1], "estimator_width": 8}


@pytest.fixture
def run(monkeypatch, capfd) -> Run:
    """``run("denoise", path, "-o", path)``: the command line itself, in this process."""

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["noisewise", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        return Ran(leaving.value.code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A file of weights of a network that is small, quick and of no use."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BlindDenoiser(**ARCHITECTURE)
        torch.nn.init.normal_(model.unet.tail.weight, std=0.01)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_network(model, path, architecture=ARCHITECTURE, notes={})
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three photographs, one of them in a sub-folder."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(["a.png", "b.jpg", "trip/c.png"]):
        photo(folder / name, seed=seed)
    return folder


@pytest.fixture
def classified(tmp_path):
    """Arguments that name a network with weights of its own, and twelve images of two classes to test it on."""
    for seed in range(12):
        photo(tmp_path / "classes" / "ab"[seed % 2] / f"{seed}.png", seed=seed)
    save_random_weights(tmp_path / "net.safetensors", seed=0)
    weights, data = tmp_path / "net.safetensors", tmp_path / "classes"
    return (f"timm:{NETWORK}", "--weights", weights, "--data", data, "--size", 32)
