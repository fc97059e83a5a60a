"""``noisewise demo``: what can be told without waiting for the shipped network."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from noisewise.data import ImageFile
from noisewise.demo import photograph


@pytest.fixture
def quick(monkeypatch):
    """A crop of the photograph instead of the whole."""
    whole = photograph.read_image

    def crop(path):
        return ImageFile(np.ascontiguousarray(whole(path).pixels[200:296, 200:296]))

    monkeypatch.setattr(photograph, "read_image", crop)


def test_the_page_and_the_figures(quick, tmp_path, run):
    output = tmp_path / "demo.html"
    ran = run("demo", "-o", output, "--json")
    assert (ran.code, ran.err) == (0, "")
    chapters = json.loads(ran.out)
    figures = chapters["photograph"]
    assert len(figures) == 2
    for name, figure in figures.items():
        assert figure["after"] > figure["before"] + 0.5
        assert figure["seconds"] > 0
        assert name in output.read_text()
    assert f"{figures['Strong white noise, sigma 50']['before']:.2f}" in output.read_text()
    hardened = chapters["classifier"]
    assert hardened["Gaussian noise, sigma 0"]["before"] > 95
    assert hardened["Gaussian noise, sigma 0"]["after"] > hardened["Gaussian noise, sigma 0"]["before"] - 3
    assert hardened["Gaussian noise, sigma 90"]["after"] > hardened["Gaussian noise, sigma 90"]["before"] + 10
    assert f"{hardened['Gaussian noise, sigma 90']['after']:.1f} %" in output.read_text()


@pytest.mark.parametrize("name", ["demo.html", "nowhere/demo.html"])
def test_an_output_that_cannot_be_is_refused_before_the_work(name, tmp_path, run):
    (tmp_path / "demo.html").write_text("mine")
    ran = run("demo", "-o", tmp_path / name)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert (tmp_path / "demo.html").read_text() == "mine"


def test_the_photograph_ships_with_the_package():
    path = photograph.files("noisewise.demo") / "assets" / "lighthouse.png"
    with photograph.as_file(path) as file:
        assert Image.open(file).mode == "RGB"
