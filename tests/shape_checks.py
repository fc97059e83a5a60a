"""Checks under test that tensors have the shapes and dtypes that their annotations promise.

A call is judged when it has returned, arguments and result together, so that a function that refuses its input with
an error of its own is heard first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import beartype

__all__ = ["check_returned_call"]


def check_returned_call(stub: Callable[..., Any]) -> Callable[..., Any]:
    """A typechecker for jaxtyping's import hook, which asks it for one check of the arguments and one of the call."""
    hints = stub.__annotations__
    before_the_call = hints["return"] is Any
    promises_shapes = any("jaxtyping." in repr(hint) for hint in hints.values())
    return beartype(stub) if promises_shapes and not before_the_call else stub
