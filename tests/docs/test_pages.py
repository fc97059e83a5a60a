"""Every block of the README and of the pages runs, from the first to the last, in a folder with what the page names."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from console import CANNOT_RUN, SMALLER, commands, run
from home import PAGES_OF_THE_SITE, ROOT, furnish
from sybil import Sybil
from sybil.example import Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from torch.utils.data import TensorDataset

STARTS = ("docs/start/harden.md", "docs/start/inject.md", "docs/start/denoise.md")
PAGES = (
    "README.md",
    "docs/denoiserep.md",
    "docs/nvt.md",
    "docs/positive-noise.md",
    "docs/tasks.md",
    "recipes/README.md",
)
ALL = [ROOT / "README.md", ROOT / "recipes/README.md", *PAGES_OF_THE_SITE]
RUN, OF_THE_SITE = {"python", "sh"}, re.compile(r"\{[a-z-]+\}")


def shell(example: Example) -> None:
    for command, expected in commands(example.parsed):
        run(command, expected)


READER = Sybil([PythonCodeBlockParser(), CodeBlockParser("sh", shell)])


def run_page(page: str, **names: object) -> None:
    document = READER.parse(ROOT / page)
    document.namespace.update(names)
    for example in document.examples():
        example.evaluate()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def names():
    """What the Python of the pages takes for granted: the reader's own image, network, data set and training."""
    images, model = torch.rand(12, 3, 32, 32), timm.create_model("test_resnet", num_classes=2).eval()
    return {
        "noisy": torch.rand(1, 1, 32, 32),
        "predict": model,
        "dataset": TensorDataset(images, torch.arange(12) % 2),
        "train": lambda network: network.train()(images),
        "model": model,
        "photographs": torch.rand(40, 3, 32, 32),
    }


@pytest.mark.slow
def test_the_ten_minute_starts_run_in_an_empty_folder_as_they_stand(home):
    for page in STARTS:
        run_page(page)
    assert {"hard.safetensors", "clean.png", "clean.report.html", "rows.jsonl"} <= {
        path.name for path in home.iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page, home, names):
    furnish(home)
    run_page(page, **names)


def blocks(language: str) -> list[str]:
    return [block for page in ALL for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)]


def test_every_block_is_on_a_page_that_is_run():
    run_here = {ROOT / page for page in (*STARTS, *PAGES)}
    for page in ALL:
        opened = re.findall(r"^```(\S+)", page.read_text(), re.MULTILINE)
        assert all(language in RUN or OF_THE_SITE.fullmatch(language) for language in opened), page
        assert page in run_here or RUN.isdisjoint(opened), page


def test_nothing_is_left_out_or_made_smaller_without_need():
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    for start in (*CANNOT_RUN, *SMALLER):
        assert any(line.startswith(start) for line in lines), start


def test_a_start_has_no_command_that_is_made_smaller():
    for page in STARTS:
        assert not any(start in (ROOT / page).read_text() for start in SMALLER)
