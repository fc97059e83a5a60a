"""Importing noisewise is free; what is slow to import waits until it is needed. No clock: what is loaded is asked."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import noisewise

SLOW = {"accelerate", "imagecodecs", "jinja2", "matplotlib", "scipy", "tifffile", "timm", "torchmetrics", "torchvision"}
SLOW |= {"transformers"}

ON_PURPOSE = ("noisewise.__main__", "noisewise.demo.web", "noisewise.surgery.hook")
"""Modules that run the command line, serve the page, or need torch's compiler, which takes seconds."""


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after ``statement``, beyond those that torch brings."""
    code = f"import sys, torch; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in ran.stdout.split()}


@pytest.mark.parametrize("statement", ["import noisewise", "from noisewise import denoise, diagnose, parse_noise"])
def test_nothing_slow_is_imported(statement):
    loaded = loaded_by(statement)
    assert "noisewise" in loaded
    assert loaded.isdisjoint(SLOW)


def test_what_only_some_calls_need_is_imported_by_them():
    packages = [one.name for one in pkgutil.walk_packages(noisewise.__path__, "noisewise.")]
    plain = [name for name in packages if not name.startswith(ON_PURPOSE)]
    code = f"import sys, {', '.join(plain)}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert set(plain) <= loaded
    # the training loop is written on accelerate, which is quick to import
    assert loaded.isdisjoint(SLOW - {"accelerate"} | {"gradio", "ray", "torch._dynamo"})


def test_the_command_line_answers_without_torch():
    code = "import sys, noisewise.cli; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in ran.stdout.split()


def test_every_name_is_there():
    assert noisewise.__all__ == sorted(noisewise.__all__)
    assert all(callable(getattr(noisewise, name)) for name in noisewise.__all__)
    assert set(noisewise.__all__) <= set(dir(noisewise))


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"'denose'; it has .*denoise"):
        noisewise.denose  # noqa: B018
