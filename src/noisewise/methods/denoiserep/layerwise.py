"""Layers solved one after the other while the images pass.

Clean images go through the old weights, and are the teacher; noisy views go through the new ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader expects
from torch import Tensor, nn

from noisewise._rng import place_generator
from noisewise.errors import SurgeryError
from noisewise.methods.denoiserep.calibration import Calibration
from noisewise.methods.denoiserep.least_squares import NormalEquations
from noisewise.surgery import Layer
from noisewise.surgery.windows import gather_inputs, gather_outputs, positions_per_image

__all__ = ["LayerFit", "fit_layer_by_layer"]

_FEWEST_ROWS = 4096


class LayerFit(NamedTuple):
    """The result for one layer: its new state-dict entries, and how good the fit is."""

    weights: dict[str, Tensor]
    remaining: float
    """Share of the squared error that is left."""
    rows: int
    unknowns: int


class _Seen(Exception):  # noqa: N818 - a signal, not an error
    """Ends a pass at the layer that it was for."""


@torch.no_grad()  # not inference mode: its tensors could not be used where gradients flow
def fit_layer_by_layer(
    model: nn.Module,
    layers: Sequence[Layer],
    data: Calibration,
    ridge: float,
    rows_per_dimension: int,
    progress: Callable[[int, int], None],
) -> dict[str, LayerFit]:
    """Fit ``layers`` in their order; the network's own weights are left alone.

    A set that passes at once is fitted in one pass, each layer solved when it is called. Chunks pass up to the first
    layer, which is then solved, up to the second, and so on.
    """
    students = [_Student(layer, data, ridge, rows_per_dimension, index) for index, layer in enumerate(layers)]
    with _in_place(students):
        for done, student in enumerate(students):
            if student.fit is None:
                _pass(model, student, data, stop=data.chunk is not None)
            if student.fit is None:
                raise SurgeryError(f"layer {student.layer.name} was called in the trial but not in the fit")
            progress(done + 1, len(students))
    return {student.layer.name: student.fit for student in students if student.fit is not None}


def _pass(model: nn.Module, student: _Student, data: Calibration, *, stop: bool) -> None:
    for student.images, views in data.chunks():
        try:
            model(views)
        except _Seen:
            continue
    if stop:
        student.solve()


@contextmanager
def _in_place(students: Sequence[_Student]) -> Iterator[None]:
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


class _Student:
    """A layer with two sets of weights, the second of which is found on the way."""

    def __init__(self, layer: Layer, data: Calibration, ridge: float, rows_per_dimension: int, index: int) -> None:
        self.layer, self.data = layer, data
        self.ridge, self.rows_per_dimension, self.index = ridge, rows_per_dimension, index
        self.old = copy.copy(layer.module)  # shares its parameters; ``forward`` of the original is about to change
        self.new: nn.Module | None = None
        self.fit: LayerFit | None = None
        self.sums: NormalEquations | None = None
        self.images = slice(0, data.size)

    def forward(self, x: Tensor, *others: Any, **options: Any) -> Any:
        """Of a batch of views, the first of which is the teacher's."""
        views, batch_dim = 1 + len(self.data.weights), self.layer.batch_dim
        size = x.shape[batch_dim] // views
        teacher, student = x.narrow(batch_dim, 0, size), x.narrow(batch_dim, size, size * (views - 1))
        expected = self._run(self.old, teacher, others, options)
        if self.new is None:
            self._collect(student.chunk(views - 1, batch_dim), self._projected(teacher, expected))
            if self.data.chunk is not None:
                raise _Seen
            self.solve()
        return self._joined(expected, self._run(self.new, student, others, options))

    def solve(self) -> None:
        """Find the second set of weights from what was collected."""
        if self.sums is None:
            return
        self._check(self.sums)
        correction = self.sums.correction(self.ridge)
        kernel, offset = self.layer.kernel(), self.layer.offset()
        change, shift = correction, torch.zeros_like(offset)
        if self.layer.bias is not None:
            change, shift = correction[..., :-1], correction[..., -1]
        weights = self.layer.restored(kernel + change.reshape(kernel.shape), offset + shift)
        self.fit = LayerFit(weights, self.sums.remaining(correction), self.sums.rows, correction.shape[-1])
        self.new = _with_weights(self.old, self.layer, weights)
        self.sums = None

    def _collect(self, students: Sequence[Tensor], expected: Tensor) -> None:
        weight, bias = self.layer.weight.flatten(1), self.layer.bias
        weight = weight.reshape(self.layer.groups, -1, weight.shape[1])
        images = self.images.stop - self.images.start
        chosen = self._chosen(positions_per_image(self.layer, expected, images), weight.shape[-1]).to(expected.device)
        truth = gather_outputs(self.layer, expected, chosen)
        truth = truth if bias is None else truth - bias.reshape(self.layer.groups, -1)
        for view, importance in zip(students, self.data.weights, strict=True):
            rows = gather_inputs(self.layer, view, chosen)
            errors = truth - torch.einsum("god,ngd->ngo", weight, rows)
            inputs = rows if bias is None else F.pad(rows, (0, 1), value=1.0)
            new = NormalEquations.of(inputs, errors, importance)
            self.sums = new if self.sums is None else self.sums + new

    def _chosen(self, positions: int, unknowns: int) -> Tensor:
        """Positions of each image of the chunk, drawn for the whole set so that chunks do not matter."""
        wanted = max(_FEWEST_ROWS, self.rows_per_dimension * unknowns)
        count = -(-wanted // (self.data.size * len(self.data.weights)))
        if count >= positions:
            return torch.arange(positions).expand(self.images.stop - self.images.start, -1)
        generator = place_generator(self.data.seed, self.index)
        drawn = torch.randint(positions, (self.data.size, count), generator=generator)
        return drawn[self.images]

    def _projected(self, teacher: Tensor, expected: Any) -> Tensor:
        if self.layer.is_attention:
            return F.linear(teacher, self.layer.weight, self.layer.bias)
        output: Tensor = expected
        return output

    def _run(self, module: nn.Module | None, x: Tensor, others: tuple[Any, ...], options: dict[str, Any]) -> Any:
        inputs = (x, x, x, *others[2:]) if self.layer.is_attention else (x, *others)
        return type(self.old).forward(module, *inputs, **options)

    def _joined(self, first: Any, second: Any) -> Any:
        if isinstance(first, Tensor):
            return torch.cat([first, second], self.layer.batch_dim)
        outputs = torch.cat([first[0], second[0]], self.layer.batch_dim)
        weights = None if first[1] is None else torch.cat([first[1], second[1]])
        return outputs, weights

    def _check(self, sums: NormalEquations) -> None:
        if not (sums.gram.isfinite().all() and sums.cross.isfinite().all()):
            raise SurgeryError(
                f"what layer {self.layer.name} sees is not finite; check the preprocessing, or run it in float32"
            )


def _with_weights(module: nn.Module, layer: Layer, weights: dict[str, Tensor]) -> nn.Module:
    """A copy of a layer that has other weights and shares the rest."""
    other = copy.copy(module)
    own = {name.rpartition(".")[2]: nn.Parameter(value, requires_grad=False) for name, value in weights.items()}
    other._parameters = {**module._parameters, **own}
    return other
