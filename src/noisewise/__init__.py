"""noisewise: noise, put to work in computer vision.

>>> import noisewise
>>> result = noisewise.denoise(photograph)  # doctest: +SKIP

The verbs below are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisewise.noise import parse_noise
    from noisewise.restore.denoise import Restored, denoise
    from noisewise.restore.diagnose import Diagnosis, diagnose

__all__ = ["Diagnosis", "Restored", "denoise", "diagnose", "parse_noise"]

__version__ = version("noisewise")

_HOMES = {
    "Diagnosis": "noisewise.restore.diagnose",
    "Restored": "noisewise.restore.denoise",
    "denoise": "noisewise.restore.denoise",
    "diagnose": "noisewise.restore.diagnose",
    "parse_noise": "noisewise.noise",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'noisewise' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
