"""Mean and covariance of what a layer sees, exact to merge, recorded in one pass in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from noisewise.errors import SurgeryError
from noisewise.surgery.layers import Layer
from noisewise.surgery.trace import first_input

__all__ = ["FeatureMoments", "record_moments"]


class FeatureMoments(NamedTuple):
    """Number, mean and scatter of feature vectors, group by group, float64.

    Moments add: those of a union of data sets are the sum of theirs, whatever the order.
    """

    samples: int
    mean: Float[Tensor, "groups features"]
    scatter: Float[Tensor, "groups features features"]
    """Sum of ``(x - mean)(x - mean)^T``."""

    @classmethod
    def of(cls, features: Float[Tensor, "samples groups features"]) -> FeatureMoments:
        """The moments of some feature vectors."""
        rows = features.double()
        mean = rows.mean(0)
        centred = (rows - mean).movedim(0, 1)
        return cls(len(rows), mean, centred.mT @ centred)

    @property
    def covariance(self) -> Tensor:
        """``S = scatter / samples``."""
        return self.scatter / self.samples

    @property
    def second_moment(self) -> Tensor:
        """``E x x^T = S + mean mean^T``."""
        return self.covariance + self.mean.unsqueeze(-1) * self.mean.unsqueeze(-2)

    def merged(self, other: FeatureMoments) -> FeatureMoments:
        """The moments of both sets together (Chan, Golub and LeVeque 1979, equation 2.1)."""
        samples = self.samples + other.samples
        step = other.mean - self.mean
        between = step.unsqueeze(-1) * step.unsqueeze(-2) * (self.samples * other.samples / samples)
        mean = self.mean + step * (other.samples / samples)
        return FeatureMoments(samples, mean, self.scatter + other.scatter + between)


@torch.inference_mode()
def record_moments(
    model: nn.Module, layers: Sequence[Layer], batches: Iterable[Any], run: Callable[[Any], object], *, side: str
) -> dict[str, FeatureMoments]:
    """Moments of the input or output features of ``layers``, in the order in which the network calls them.

    Positions of a feature map count as samples of their own, and a layer that is called several times a pass pools
    all its calls.

    Args:
        model: in evaluation mode; left as it is.
        layers: of ``model``.
        batches: the data.
        run: sends one batch through the network.
        side: ``"input"`` or ``"output"``.

    Raises:
        SurgeryError: no features came, or some that are not finite.
    """
    found: dict[str, FeatureMoments] = {}

    def record(layer: Layer, features: Tensor) -> None:
        if not features.numel():
            return
        moments = FeatureMoments.of(_rows(layer, features))
        if not moments.scatter.isfinite().all():
            raise SurgeryError(
                f"the {side} of layer {layer.name} is not finite; check the preprocessing, or run it in float32"
            )
        found[layer.name] = found[layer.name].merged(moments) if layer.name in found else moments

    with _watched(layers, record, side):
        for batch in batches:
            run(batch)
    if not found:
        raise SurgeryError(
            f"no features came to any of the {len(layers)} layers of {type(model).__name__}: the loader is empty, or "
            "the network does not call them"
        )
    return found


def _rows(layer: Layer, features: Tensor) -> Tensor:
    """Feature vectors ``N x G x D`` of a layer's input or output."""
    last = features.movedim(layer.channel_dim, -1)
    return last.reshape(-1, layer.groups, last.shape[-1] // layer.groups)


@contextmanager
def _watched(layers: Sequence[Layer], record: Callable[[Layer, Tensor], None], side: str) -> Iterator[None]:
    handles = [_watch(layer, record, side) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(layer: Layer, record: Callable[[Layer, Tensor], None], side: str) -> Any:
    if side == "input":
        return layer.module.register_forward_pre_hook(lambda _, inputs: record(layer, first_input(layer, inputs)))
    return layer.module.register_forward_hook(lambda _, inputs, output: record(layer, output))
