"""What a layer has to give for a noisy image, by what becomes of its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from noisewise.errors import SurgeryError
from noisewise.surgery import Downstream, Layer
from noisewise.surgery.windows import gather_outputs

__all__ = ["Aim", "downstream_target"]

Rows = Float[Tensor, "rows groups outputs"]

_LEAST_SCALE = 1e-3
"""Of the largest: a channel with less of it cannot make up for what is added."""


class Aim:
    """What one layer is to give, with an eye on what is added to it.

    Args:
        downstream: what becomes of the layer's output.
    """

    def __init__(self, downstream: Downstream) -> None:
        self.downstream = downstream
        self.importance = downstream.scale.square()
        """Of a squared error of each output, in the units of what is added to it."""
        self._summand: Tensor | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within it, what is added to the layer's output is kept until `release`."""
        if self.downstream.other is None:
            yield
            return
        module, is_output = self.downstream.other
        if is_output:
            hook = module.register_forward_hook(lambda module, inputs, output: self._keep(output))
        else:
            hook = module.register_forward_pre_hook(lambda module, inputs: self._keep(inputs[0]))
        try:
            yield
        finally:
            hook.remove()
            self.release()

    def release(self) -> None:
        """Keep no features any more."""
        self._summand = None

    def _keep(self, summand: Tensor) -> None:
        self._summand = summand

    def at(
        self, layer: Layer, clean: Rows, chosen: Int[Tensor, "images chosen"], views: int
    ) -> Callable[[Rows, int], Rows]:
        """From predictions at the chosen positions and the number of their view to what they should be.

        Args:
            layer: that is called.
            clean: outputs of it as it was, at these positions of the clean images, which are view 0.
            chosen: positions of each image.
            views: in a batch.

        Raises:
            SurgeryError: what is to be added did not come.
        """
        if self.downstream.other is None:
            return lambda predicted, view: downstream_target(clean, predicted, self.downstream)
        if self._summand is None:
            raise SurgeryError(
                f"what is added to {layer.name} was there in the trial and not in the fit; leave out downstream"
            )
        parts = self._summand.chunk(views, layer.batch_dim)
        of_clean = gather_outputs(layer, parts[0], chosen)

        def target(predicted: Rows, view: int) -> Rows:
            summands = of_clean, gather_outputs(layer, parts[view], chosen)
            return downstream_target(clean, predicted, self.downstream, summands)

        return target


def downstream_target(
    clean: Rows, predicted: Rows, downstream: Downstream, summands: tuple[Rows, Rows] | None = None
) -> Rows:
    """The output nearest to ``predicted`` that becomes what ``clean`` becomes.

    With ``z = s y + t + u`` for an output y and a summand u, and ``u~`` that of the noisy image, it is
    ``clean + (u - u~) / s``, which makes up for what the summand lacks. Where a rectifier stops z of the clean image,
    it is ``y - max(0, s y + t + u~) / s``: the prediction itself, or the point at which it would be stopped. Least
    squares with a ridge for these targets, and new targets for what it predicts, in turn, lower
    ``sum min_t |W' x - t|^2 + r |W' - W|^2`` in every round.

    Source: for the rectifier after Zhang et al., CVPR 2015, who let the target deviate at a price instead; for sums
    after He, Zhang and Sun, ICCV 2017. Both make networks smaller.

    Args:
        clean: outputs of the layer as it was, for clean images.
        predicted: outputs of the layer as it is to be, for noisy ones.
        downstream: of the layer, with a scale and a shift for each of ``groups x outputs`` channels.
        summands: what is added for the clean images and for the noisy ones, if anything is.
    """
    scale, shift = (value.to(clean).reshape(1, *clean.shape[1:]) for value in (downstream.scale, downstream.shift))
    strong = scale.abs() > _LEAST_SCALE * scale.abs().max()
    of_clean, of_noisy = (torch.zeros_like(clean),) * 2 if summands is None else summands
    target = clean + torch.where(strong, (of_clean - of_noisy) / scale, 0)
    if not downstream.is_rectified:
        return target
    beyond = torch.where(strong, (scale * predicted + shift + of_noisy).clamp_min(0) / scale, 0)
    return torch.where(scale * clean + shift + of_clean > 0, target, predicted - beyond)
