"""``noisewise denoise --engine ray`` where ``uv run`` starts it, of which Ray has a hook of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import contents

pytest.importorskip("ray")
HOME = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_workers_have_the_environment_of_uv_run(photos, tmp_path, weights):
    command = ["uv", "run", "--no-sync", "noisewise", "denoise", photos, "-o", tmp_path / "clean", "--weights", weights]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    settings = {"cwd": HOME, "env": plain, "capture_output": True, "text": True, "timeout": 300}
    ran = subprocess.run([*map(str, command), "--engine", "ray"], **settings)
    assert ran.returncode == 0, ran.stderr
    assert set(contents(tmp_path / "clean")) >= {"a.png", "b.jpg", "trip/c.png"}
