"""``noisewise audit``: exit 3 where batch mates matter, 0 where they do not."""

from __future__ import annotations

import json
import sys
import types

import pytest
import torch
from PIL import Image
from torch import nn


@pytest.fixture
def arguments(classified):
    return ("audit", *classified, "--batch-sizes", "1,4")


def test_an_ordinary_network_passes(run, arguments):
    ran = run(*arguments, "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert found["order_dependent"] is False
    assert [(row["order"], row["batch_size"]) for row in found["runs"]] == [
        (order, size) for order in ("given", "shuffled", "class_sorted") for size in (1, 4)
    ]
    assert len({row["accuracy"] for row in found["runs"]}) == 1


def test_fewer_images_than_a_batch_are_audited_too(run, arguments):
    ran = run(*arguments[:-1], "64", "--inject", "last=optimal", "--json")
    assert ran.code == 3
    assert json.loads(ran.out)["mates"]["depends"] is True


def test_no_image_is_decoded_for_every_run(run, arguments, monkeypatch, tmp_path):
    opened, plain = [], Image.open

    def counted(path, *rest):
        opened.append(path)
        return plain(path, *rest)

    monkeypatch.setattr(Image, "open", counted)
    in_memory = run(*arguments, "--json")
    assert len(opened) <= 12 + 1
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(available=0))
    assert run(*arguments, "--json") == in_memory
    assert len(opened) > 6 * 12


class LearningAtTest(nn.Module):
    """Its batch norm stays in training mode, whatever it is told."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)

    def train(self, mode=True):
        super().train(mode)
        self.norm.train()
        return self

    def forward(self, images):
        return self.head(self.norm(images).amax((2, 3)))


def test_a_network_that_a_factory_keeps_is_not_altered(run, arguments, monkeypatch):
    kept = LearningAtTest()
    before = {name: value.clone() for name, value in kept.state_dict().items()}
    monkeypatch.setitem(sys.modules, "kept_networks", types.SimpleNamespace(network=lambda: kept))
    assert run("audit", "kept_networks:network", *arguments[4:]).code == 3
    assert all(torch.equal(value, before[name]) for name, value in kept.state_dict().items())


def test_one_class_alone_is_audited(run, arguments, tmp_path):
    for path in (tmp_path / "classes" / "b").iterdir():
        path.rename(tmp_path / "classes" / "a" / path.name)
    (tmp_path / "classes" / "b").rmdir()
    assert run(*arguments).code == 0


def test_an_existing_plot_stays(run, arguments, tmp_path):
    plot = tmp_path / "audit.png"
    plot.write_bytes(b"mine")
    ran = run(*arguments, "--plot", plot)
    assert (ran.code, plot.read_bytes()) == (2, b"mine")
    assert run(*arguments, "--plot", plot, "--overwrite").code == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("noise", ["last=optimal", "0=circular:strength=0.3"])
def test_mixing_inside_the_network_exits_with_3(run, arguments, noise, tmp_path):
    ran = run(*arguments, "--inject", noise, "--plot", tmp_path / "audit.png")
    assert ran.code == 3
    assert "predictions depend on the other images of the batch" in ran.out
    assert "class_sorted" in ran.out
    assert (tmp_path / "audit.png").read_bytes().startswith(b"\x89PNG")


def test_random_noise_is_told_and_is_no_dependence(run, arguments):
    ran = run(*arguments, "--inject", "last=gaussian:sigma=0.5")
    assert ran.code == 0
    assert "the predictions are random" in ran.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--inject", "optimal"), "PLACE=NOISE"),
        (("--inject", "layer9=optimal"), "nearest: layer"),
        (("--inject", "last=optimum"), "did you mean 'optimal'"),
        (("--inject", "last=circular:strength=2"), "strength in [0, 1]"),
        (("--batch-sizes", "1,many"), "such as 1,10,64"),
        (("--batch-sizes", "0"), "at least 1"),
        (("--batch-sizes", "²"), "such as 1,10,64"),
        (("--inject", "last=optimal", "--inject", "last=gaussian"), "every place once"),
        (("--plot", "audit.xyz"), "ends in .png, .svg, .pdf"),
        (("--plot", "audit"), "ends in .png, .svg, .pdf"),
        (("--plot", "nowhere/audit.png"), "no folder nowhere"),
    ],
)
def test_bad_input_is_told_in_one_line(run, arguments, options, told):
    ran = run(*arguments, *options)
    assert ran.code == 2
    assert told in ran.err
    assert ran.err.count("\n") == 1
