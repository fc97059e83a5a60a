"""Shape checks for every call of noisewise, and the folder of benchmark data."""

from __future__ import annotations

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each worker and its children: more wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # read once, whatever imports Ray first

import hypothesis
import pytest
from jaxtyping import install_import_hook

install_import_hook("noisewise", "shape_checks.check_returned_call")  # before anything imports noisewise
hypothesis.settings.register_profile("noisewise", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("noisewise")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder that NOISEWISE_DATA names; a test that needs it is skipped without it."""
    folder = os.environ.get("NOISEWISE_DATA")
    if not folder:
        pytest.skip("set NOISEWISE_DATA to the folder of benchmark data to run this test")
    return Path(folder)


@pytest.fixture(scope="module")
def cluster(request):
    """Ray with two workers, which take functions of the test's module along."""
    from noisewise.data import cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # a busy machine is no defect
        pytest.importorskip("ray")
        with cluster(processors=2) as ray:
            ray.cloudpickle.register_pickle_by_value(request.module)
            yield ray
