"""Want of memory, as Python and torch tell of it."""

from __future__ import annotations

__all__ = ["lacks_memory"]

_LACKING = ("DefaultCPUAllocator: can't allocate memory", "CUDA out of memory")
"""How torch's errors say it, of which the processor's is a plain RuntimeError."""


def lacks_memory(error: Exception) -> bool:
    """Whether Python or torch found too little memory."""
    return isinstance(error, MemoryError) or any(said in str(error) for said in _LACKING)
