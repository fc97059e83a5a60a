"""The README's Python runs as it stands there, and its tables are those of the committed results."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_python_example_runs_and_shows_its_findings(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(example.strip().splitlines()) <= 10
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["clean"].shape == names["photograph"].shape
    assert names["clean"].dtype == names["photograph"].dtype
    assert "Noise" in capsys.readouterr().out


def test_the_tables_are_those_of_the_results():
    command = [sys.executable, str(ROOT / "benchmarks/tables.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0
