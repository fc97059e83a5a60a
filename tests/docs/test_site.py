"""The site has every public package and every page, and its examples run as scripts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from home import PAGES_OF_THE_SITE, ROOT

SOURCE = ROOT / "src/noisewise"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def public_packages() -> set[str]:
    """Packages that say what is public, but for the faces on top: the command line has its own page."""
    found = {path.parent for path in SOURCE.rglob("__init__.py") if "__all__" in path.read_text()}
    names = {".".join(("noisewise", *folder.relative_to(SOURCE).parts)) for folder in found}
    return names - {"noisewise", "noisewise.cli", "noisewise.data.formats"}


def test_every_public_package_is_in_the_reference():
    reference = "".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md"))
    assert public_packages() <= set(re.findall(r"automodule:: (\S+)", reference))


def test_every_page_is_in_the_navigation():
    docs = ROOT / "docs"
    indices = {docs: docs / "index.md", docs / "api": docs / "api/index.md"}
    listed = set()
    for folder, index in indices.items():
        for tree in re.findall(r"```{toctree}\n(.*?)```", index.read_text(), re.DOTALL):
            listed |= {folder / f"{line}.md" for line in tree.split() if not line.startswith(":")}
    assert set(PAGES_OF_THE_SITE) - listed == {docs / "index.md"}


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_offline_and_shows_what_it_tells(script: Path, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    ran = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert TOLD[script.stem](ran.stdout)
    assert not list(tmp_path.iterdir())


def _gains_under_noise(out: str) -> bool:
    """The interval of the gain at sigma 60 lies above zero."""
    low = re.search(r"sigma   60 .*\[([+-][0-9.]+),", out)
    return low is not None and float(low[1]) > 0


def _is_found_out(out: str) -> bool:
    """The claim looks good, and the audit says why."""
    before, claimed = (float(re.search(rf"{name} noise +([0-9.]+) %", out)[1]) for name in ("without", "with"))
    return claimed > before and "depends on the batch: True" in out


TOLD = {"harden_a_classifier": _gains_under_noise, "denoise_and_audit": _is_found_out}
