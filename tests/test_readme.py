"""The README's Python runs as it stands there, and its tables are those of the committed results."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def run(example):
    assert len(example.strip().splitlines()) <= 10
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    return names


def test_the_photograph_example_runs_and_shows_its_findings(capsys):
    names = run(EXAMPLES[0])
    assert names["clean"].shape == names["photograph"].shape
    assert names["clean"].dtype == names["photograph"].dtype
    assert "Noise" in capsys.readouterr().out


def test_the_hardening_example_runs_and_shows_its_layers(capsys):
    names = run(EXAMPLES[1])
    assert names["hardened"].state_dict().keys() == names["model"].state_dict().keys()
    assert "error left" in capsys.readouterr().out


def test_there_are_no_other_examples():
    assert len(EXAMPLES) == 2


def test_the_tables_are_those_of_the_results():
    command = [sys.executable, str(ROOT / "benchmarks/tables.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0
