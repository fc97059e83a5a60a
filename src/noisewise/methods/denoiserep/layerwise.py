"""Layers solved one after the other while the images pass.

Clean images go through the old weights, and are the teacher; noisy views go through the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from noisewise.errors import SurgeryError
from noisewise.methods.denoiserep.calibration import Calibration
from noisewise.methods.denoiserep.students import LayerFit, LayerStudent, NormalisationStudent, Seen, Student
from noisewise.surgery import Layer

__all__ = ["Fitted", "fit_layer_by_layer"]


class Fitted(NamedTuple):
    """What one fit found, by name."""

    layers: dict[str, LayerFit]
    statistics: dict[str, dict[str, Tensor]]
    """State-dict entries of each batch normalisation behind a fitted layer."""


@torch.no_grad()  # not inference mode: its tensors could not be used where gradients flow
def fit_layer_by_layer(
    model: nn.Module,
    layers: Sequence[Layer],
    normalisations: Sequence[Layer],
    order: Mapping[str, int],
    data: Calibration,
    ridge: float,
    rows_per_dimension: int,
    progress: Callable[[int, int], None],
) -> Fitted:
    """Fit ``layers`` and ``normalisations`` by the ``order`` of their calls; the network's own weights are left alone.

    A set that passes at once is fitted in one pass, each layer solved when it is called. Chunks pass up to the first
    layer, which is then solved, up to the second, and so on.
    """
    fitted = [LayerStudent(layer, data, ridge, rows_per_dimension, index) for index, layer in enumerate(layers)]
    renewed = [NormalisationStudent(layer, data) for layer in normalisations]
    students: list[Student] = sorted([*fitted, *renewed], key=lambda student: order[student.layer.name])
    with _in_place(students):
        for done, student in enumerate(students):
            if student.new is None:
                _pass(model, student, data, stop=data.chunk is not None)
            if student.new is None:
                raise SurgeryError(f"layer {student.layer.name} was called in the trial but not in the fit")
            progress(done + 1, len(students))
    return Fitted(
        {student.layer.name: student.fit for student in fitted if student.fit is not None},
        {student.layer.name: student.entries for student in renewed},
    )


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
