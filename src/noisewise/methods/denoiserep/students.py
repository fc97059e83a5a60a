"""Modules with two sets of weights while a fit passes: the network's own for clean images, better ones for noisy views.

Each finds its second set on the way, when it is first called.
"""

from __future__ import annotations

import copy
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisewise._rng import place_generator
from noisewise.errors import SurgeryError
from noisewise.methods.denoiserep.calibration import Calibration
from noisewise.methods.denoiserep.least_squares import NormalEquations, RidgeSolver
from noisewise.methods.denoiserep.targets import Aim
from noisewise.surgery import Downstream, Layer
from noisewise.surgery.windows import gather_inputs, gather_outputs, positions_per_image

__all__ = ["LayerFit", "LayerStudent", "NormalisationStudent", "Seen", "Student"]

_FEWEST_ROWS = 4096
_MORE_ROUNDS = 12
"""Of new targets after the first, for a layer before a rectifier."""


class LayerFit(NamedTuple):
    """The result for one layer: its new state-dict entries, and how good the fit is."""

    weights: dict[str, Tensor]
    remaining: float
    """Share of the squared error that is left."""
    rows: int
    unknowns: int


@dataclass
class ViewStatistics:
    """Weight, weighted mean and weighted square of the channels of some views, float64."""

    weight: float
    mean: Tensor
    square: Tensor

    def __add__(self, other: ViewStatistics) -> ViewStatistics:
        return ViewStatistics(self.weight + other.weight, self.mean + other.mean, self.square + other.square)


S = TypeVar("S", NormalEquations, ViewStatistics)


class Seen(Exception):  # noqa: N818 - a signal, not an error
    """Ends a pass at the module that it was for, with what that saw."""

    def __init__(self, sums: Any) -> None:
        super().__init__()
        self.sums = sums


class Student(ABC, Generic[S]):
    """A module with two sets of weights.

    Attributes:
        layer: the module and its name.
        new: a copy with the second set, once it is found.
        images: which of all images the present chunk holds.
    """

    def __init__(self, layer: Layer, data: Calibration) -> None:
        self.layer, self.data = layer, data
        self.old = copy.copy(layer.module)  # shares its parameters; ``forward`` of the original is about to change
        self.new: nn.Module | None = None
        self.images = slice(0, data.size)

    def forward(self, x: Tensor, *others: Any, **options: Any) -> Any:
        """Of a batch of views, the first of which is the teacher's."""
        views, batch_dim = 1 + len(self.data.weights), self.layer.batch_dim
        size = x.shape[batch_dim] // views
        teacher, student = x.narrow(batch_dim, 0, size), x.narrow(batch_dim, size, size * (views - 1))
        expected = self._run(self.old, teacher, others, options)
        while self.new is None:
            sums = self._sums(student.chunk(views - 1, batch_dim), teacher, expected)
            if self.data.chunk is not None:
                raise Seen(sums)
            self.solve(sums)
        return self._joined(expected, self._run(self.new, student, others, options))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the module has two sets of weights."""
        self.layer.module.forward = self.forward
        try:
            yield
        finally:
            self.layer.module.__dict__.pop("forward", None)

    @abstractmethod
    def solve(self, sums: S) -> None:
        """Find the second set from what all images brought, or come nearer to it."""

    @abstractmethod
    def _sums(self, students: Sequence[Tensor], teacher: Tensor, expected: Any) -> S:
        """Of a chunk: what each view brings, what the clean images bring, and what came of that."""

    def _run(self, module: nn.Module | None, x: Tensor, others: tuple[Any, ...], options: dict[str, Any]) -> Any:
        inputs = (x, x, x, *others[2:]) if self.layer.is_attention else (x, *others)
        return type(self.old).forward(module, *inputs, **options)

    def _joined(self, first: Any, second: Any) -> Any:
        if isinstance(first, Tensor):
            return torch.cat([first, second], self.layer.batch_dim)
        outputs = torch.cat([first[0], second[0]], self.layer.batch_dim)
        weights = None if first[1] is None else torch.cat([first[1], second[1]])
        return outputs, weights


class LayerStudent(Student[NormalEquations]):
    """A layer whose second set of weights gives for noisy views what the first gave for the clean images.

    Attributes:
        fit: the result, once there is one.
    """

    def __init__(
        self,
        layer: Layer,
        data: Calibration,
        ridge: float,
        rows_per_dimension: int,
        index: int,
        downstream: Downstream | None = None,
    ) -> None:
        super().__init__(layer, data)
        self.ridge, self.rows_per_dimension, self.index = ridge, rows_per_dimension, index
        self._aim = None if downstream is None else Aim(downstream)
        self._rounds = 1 + (_MORE_ROUNDS if downstream is not None and downstream.is_rectified else 0)
        self._done = 0
        self._correction: Tensor | None = None
        self._solver: RidgeSolver | None = None
        self._energy: Tensor | None = None
        self.fit: LayerFit | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_solver": None}  # as large as the squared number of unknowns, and only needed here

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the layer has two sets of weights; until the second is found, what is added to it is followed."""
        followed = None if self.new is not None else self._aim
        with super().in_place(), nullcontext() if followed is None else followed.watching():
            yield

    def solve(self, sums: NormalEquations) -> None:
        """Find the second set of weights from the equations of all images, before a rectifier in several rounds."""
        self._check(sums)
        if self._solver is None or self._energy is None:
            self._solver, self._energy = RidgeSolver(sums.gram, self.ridge), sums.energy
        self._correction, self._done = self._solver.correction(sums), self._done + 1
        if self._done == self._rounds:
            left = self._solver.left(sums, self._correction)
            self._finish(self._correction, self._share(left, self._energy), sums.rows)

    def _share(self, left: Tensor, energy: Tensor) -> float:
        """What is left of the energy, each output as much as it weighs in what becomes of it."""
        weights = torch.ones_like(energy)
        if self._aim is not None:
            weights = self._aim.importance.to(energy).reshape(energy.shape)
        whole = float((weights * energy).sum())
        return float((weights * left).sum()) / whole if whole else 1.0

    def _finish(self, correction: Tensor, remaining: float, rows: int) -> None:
        kernel, offset = self.layer.kernel(), self.layer.offset()
        change, shift = correction, torch.zeros_like(offset)
        if self.layer.bias is not None:
            change, shift = correction[..., :-1], correction[..., -1]
        weights = self.layer.restored(kernel + change.reshape(kernel.shape), offset + shift)
        self.fit = LayerFit(weights, remaining, rows, correction.shape[-1])
        self.new = _with_weights(self.old, weights)
        self._correction = self._solver = self._energy = None
        if self._aim is not None:
            self._aim.release()

    def _sums(self, students: Sequence[Tensor], teacher: Tensor, expected: Any) -> NormalEquations:
        expected = self._projected(teacher, expected)
        images = self.images.stop - self.images.start
        unknowns = self.layer.weight.flatten(1).shape[1]
        chosen = self._chosen(positions_per_image(self.layer, expected, images), unknowns).to(expected.device)
        truth = gather_outputs(self.layer, expected, chosen)
        views = range(1, 1 + len(students))
        target = None if self._aim is None else self._aim.at(self.layer, truth, chosen, 1 + len(students))

        def equations(view: int, student: Tensor, importance: float) -> NormalEquations:
            rows, before, predicted = self._predicted(gather_inputs(self.layer, student, chosen))
            wanted = truth if target is None else target(predicted, view)
            return NormalEquations.of(rows, wanted - before, importance, gram=not self._done)

        return reduce(operator.add, map(equations, views, students, self.data.weights))  # no more than two at a time

    def _predicted(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors, extended where there is a bias, and what comes of them with the old weights and the present ones."""
        bias, weight = self.layer.bias, self.layer.weight.flatten(1)
        if bias is not None:
            rows, weight = F.pad(rows, (0, 1), value=1.0), torch.cat([weight, bias.unsqueeze(1)], 1)
        before = torch.einsum("god,ngd->ngo", weight.reshape(self.layer.groups, -1, weight.shape[1]), rows)
        if self._correction is None:
            return rows, before, before
        return rows, before, before + torch.einsum("god,ngd->ngo", self._correction.to(rows), rows)

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

    def _check(self, sums: NormalEquations) -> None:
        if not (sums.gram.isfinite().all() and sums.cross.isfinite().all()):
            raise SurgeryError(
                f"what layer {self.layer.name} sees is not finite; check the preprocessing, or run it in float32"
            )


class NormalisationStudent(Student[ViewStatistics]):
    """A batch normalisation whose second set of statistics is that of the views behind layers already corrected.

    Least squares shrinks what it cannot tell from noise; statistics of its own give the shrunk features back the spread
    that the next layers were trained on (after Schneider et al., NeurIPS 2020, who renew nothing else).
    """

    def __init__(self, layer: Layer, data: Calibration) -> None:
        super().__init__(layer, data)
        self.entries: dict[str, Tensor] = {}

    def solve(self, sums: ViewStatistics) -> None:
        """Mean and variance over all views, each with its weight."""
        mean = sums.mean / sums.weight
        variance = (sums.square / sums.weight - mean.square()).clamp_min(0)
        found = {"running_mean": mean, "running_var": variance}
        self.entries = {f"{self.layer.name}.{n}": value.to(getattr(self.old, n)) for n, value in found.items()}
        if not all(value.isfinite().all() for value in self.entries.values()):
            raise SurgeryError(f"what {self.layer.name} sees is not finite; check the preprocessing, or use float32")
        self.new = _with_weights(self.old, self.entries)

    def _sums(self, students: Sequence[Tensor], teacher: Tensor, expected: Any) -> ViewStatistics:
        axes = [axis for axis in range(teacher.ndim) if axis != 1]
        found = []
        for view, importance in zip(students, self.data.weights, strict=True):
            precise = view if view.dtype == torch.float64 else view.float()
            variance, mean = (value.double() for value in torch.var_mean(precise, axes, correction=0))
            share = importance * len(view)
            found.append(ViewStatistics(share, share * mean, share * (variance + mean.square())))
        return reduce(operator.add, found)


def _with_weights(module: nn.Module, entries: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a module that has other weights or statistics and shares the rest."""
    other = copy.copy(module)
    own = {name.rpartition(".")[2]: value for name, value in entries.items()}
    buffers = {name: value for name, value in own.items() if name in module._buffers}
    parameters = {n: nn.Parameter(value, requires_grad=False) for n, value in own.items() if n not in buffers}
    other._parameters = {**module._parameters, **parameters}
    other._buffers = {**module._buffers, **buffers}
    return other
