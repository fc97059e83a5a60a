"""Modules solved one after the other while the images pass.

Clean images go through the old weights, and are the teacher; noisy views go through the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from noisewise.errors import SurgeryError
from noisewise.methods.denoiserep.calibration import Calibration
from noisewise.methods.denoiserep.students import Seen, Student

__all__ = ["fit_in_turn"]


@torch.no_grad()  # not inference mode: its tensors could not be used where gradients flow
def fit_in_turn(
    model: nn.Module, students: Sequence[Student], data: Calibration, progress: Callable[[int, int], None]
) -> None:
    """Solve ``students`` in the order in which ``model`` calls their modules; its own weights are left alone.

    A set that passes at once is fitted in one pass, each module solved when it is called. Chunks pass up to the first
    module, which is then solved, up to the second, and so on.
    """
    with _in_place(students):
        for done, student in enumerate(students):
            if student.new is None:
                _pass(model, student, data, stop=data.chunk is not None)
            if student.new is None:
                raise SurgeryError(f"{student.layer.name} was called in the trial but not in the fit")
            progress(done + 1, len(students))


def _pass(model: nn.Module, student: Student, data: Calibration, *, stop: bool) -> None:
    for student.images, views in data.chunks():
        try:
            model(views)
        except Seen:
            continue
    if stop:
        student.solve()


@contextmanager
def _in_place(students: Sequence[Student]) -> Iterator[None]:
    fused_encoders = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # nn.TransformerEncoderLayer would not call its layers
        for student in students:
            student.layer.module.forward = student.forward
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_encoders)
        for student in students:
            student.layer.module.__dict__.pop("forward", None)
