"""Modules solved one after the other while the images pass.

Clean images go through the old weights, and are the teacher; noisy views go through the new ones.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from typing import Any

import torch
from torch import nn

from noisewise.contracts import Shares
from noisewise.errors import SurgeryError
from noisewise.methods.denoiserep.calibration import Calibration
from noisewise.methods.denoiserep.students import Seen, Student

__all__ = ["Spread", "fit_in_turn"]

Spread = Callable[[Callable[[Calibration], Any], Iterable[Calibration]], Iterable[Any]]
"""The builtin ``map``, or what makes such calls in other processes (threads would share the modules of one network):
their results in the order of the parts."""


@torch.no_grad()  # not inference mode: its tensors could not be used where gradients flow
def fit_in_turn(
    model: nn.Module,
    students: Sequence[Student[Any]],
    data: Calibration,
    progress: Shares,
    spread: Spread = map,
) -> None:
    """Solve ``students`` in the order in which ``model`` calls their modules; its own weights are left alone.

    A set that passes at once is fitted in one pass, each module solved when it is called. Chunks pass up to the first
    module, which is then solved, up to the second, and so on; ``spread`` hands them out.
    """
    progress(0, len(students))
    for done, student in enumerate(students):
        if data.chunk is not None:
            _pass_in_chunks(model, students, done, data, spread)
        elif student.new is None:
            _pass_at_once(model, students, data)
        if student.new is None:
            raise SurgeryError(f"{student.layer.name} was called in the trial but not in the fit")
        progress(done + 1, len(students))


def _pass_at_once(model: nn.Module, students: Sequence[Student[Any]], data: Calibration) -> None:
    with _in_place(students):
        for _, views in data.chunks():
            model(views)


def _pass_in_chunks(
    model: nn.Module, students: Sequence[Student[Any]], index: int, data: Calibration, spread: Spread
) -> None:
    while students[index].new is None:
        called = (one for one in spread(partial(sums_of, model, students, index), data.parts()) if one is not None)
        if (first := next(called, None)) is None:
            return
        students[index].solve(reduce(operator.add, called, first))


@torch.no_grad()
def sums_of(model: nn.Module, students: Sequence[Student[Any]], index: int, part: Calibration) -> Any:
    """What one of the students, those before it solved, sees of a chunk of the images; None if it is not called."""
    ((students[index].images, views),) = part.chunks()
    with _in_place(students):
        try:
            model(views)
        except Seen as seen:
            return seen.sums
    return None


@contextmanager
def _in_place(students: Sequence[Student[Any]]) -> Iterator[None]:
    fused_encoders = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as places:
        places.callback(torch.backends.mha.set_fastpath_enabled, fused_encoders)
        torch.backends.mha.set_fastpath_enabled(False)  # nn.TransformerEncoderLayer would not call its layers
        for student in students:
            places.enter_context(student.in_place())
        yield
