"""The paper's form: a linear denoiser beside each layer, fitted on clean features, fused into the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self

from torch import Tensor, nn

from noisewise.errors import ArgumentError, SurgeryError
from noisewise.methods.denoiserep.closed_form import NoisePredictor, denoising_map, reverse_step, wiener_map
from noisewise.methods.denoiserep.handle import Handle, network_inputs, require_evaluation
from noisewise.methods.denoiserep.schedule import SCHEDULES, Schedule
from noisewise.methods.denoiserep.sgd import Descent, SgdFit, TaskLoss, fit_predictors
from noisewise.surgery import AffineMap, FeatureMoments, Layer, fold_input, fold_output, record_moments
from noisewise.surgery.trace import attends_to_itself

__all__ = ["Branched"]

Side = Literal["input", "output"]


class Branched(Handle):
    """An affine denoiser at the input or output of every attached layer.

    Where a layer has no bias, or its convolution pads with zeros on the input side, no offset can be fused; there the
    best denoiser without one is used.

    Args:
        model: in evaluation mode.
        layers: of the model.
        schedule: a name in :data:`SCHEDULES`, or a schedule.
        t: diffusion step of every layer, or ``"depth"``: ``steps`` for the last layer that is called, and ``steps``
            more for each layer before it.
        steps: reverse steps that are taken at each layer.
        side: where the denoiser stands.
        wiener: one optimal estimate at the noise level of t instead of the reverse steps.
        paper_eq7: the printed Equation 7, not exact; for reproduction only.
        add_bias: give layers without a bias one, so that an offset can be fused; the state dict gets new keys.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[Layer],
        *,
        schedule: str | Schedule = "paper",
        t: int | Literal["depth"] = "depth",
        steps: int = 1,
        side: Side = "input",
        wiener: bool = False,
        paper_eq7: bool = False,
        add_bias: bool = False,
    ) -> None:
        if side not in ("input", "output"):
            raise ArgumentError(f"expected side='input' or 'output', got {side!r}")
        if isinstance(t, str) and t != "depth":
            raise ArgumentError(f"expected t='depth' or a diffusion step, got {t!r}")
        if steps < 1 or (t != "depth" and steps > t):
            raise ArgumentError(f"expected steps from 1 to t, got steps={steps} with t={t}")
        super().__init__(model, [_refused_at(side, layer) for layer in layers])
        self.schedule = schedule if isinstance(schedule, Schedule) else SCHEDULES[schedule]
        self.t, self.steps, self.side = t, steps, side
        self.wiener, self.paper_eq7, self.add_bias = wiener, paper_eq7, add_bias
        self.moments: dict[str, FeatureMoments] = {}
        self.predictors: dict[str, NoisePredictor] = {}
        self._maps: dict[str, AffineMap] = {}  # solved once, not at every call

    def fit(self, loader: Iterable[Any], *more: Iterable[Any]) -> Self:
        """Fit in closed form from one pass over each loader.

        The moments of several data sets add up to those of their union, and add to those of earlier calls.

        Args:
            loader: yields what the network takes, or pairs of it and a label, which is ignored.
            more: further data sets.

        Raises:
            SurgeryError: a loader is empty, features are not finite, or no layer can be fitted.
        """
        require_evaluation(self.model)
        with self._refusing_cross_attention():
            seen = [
                record_moments(self.model, self.attached, batches, self._run, side=self.side)
                for batches in (loader, *more)
            ]
        return self.add(*seen)

    def add(self, *moments: Mapping[str, FeatureMoments]) -> Self:
        """Fit to what was seen elsewhere, too: the :attr:`moments` of handles of the same ``side`` on other images.

        Raises:
            SurgeryError: none of them is of a layer that can be fitted.
        """
        joined = dict(self.moments)
        for one in moments:
            joined |= {name: _joined(joined.get(name), new) for name, new in one.items()}
        attached = {layer.name for layer in self.attached}
        self.moments = {name: found for name, found in joined.items() if name in attached}
        self.predictors, self._maps = {}, {}
        if not self.moments:
            raise SurgeryError(f"no layer of {type(self.model).__name__} can be fitted; see table() for why")
        return self

    def fit_sgd(
        self,
        loader: Iterable[Any],
        *,
        loss: Literal["l1", "l2", "l1+l2"] = "l2",
        task_loss: TaskLoss | None = None,
        lam: float = 0.5,
        epochs: int = 1,
        learning_rate: float = 1e-2,
        seed: int = 0,
        progress: Callable[[int, float], None] = lambda step, loss: None,
    ) -> SgdFit:
        """Fit by gradient descent as the paper does (Algorithm 1), and say how far from the optimum that ends.

        Args:
            loader: as for :meth:`fit`; with a task loss it yields pairs of inputs and labels. It is read once more than
                there are epochs.
            loss: of the noise prediction.
            task_loss: of output and labels; adds the labels' term of Equation 12.
            lam: weight of the noise prediction beside the task loss, ``(1 - lam) task + lam noise``.
            epochs: passes.
            learning_rate: of Adam, at the start; it falls linearly to zero.
            seed: of the noise.
            progress: called after every step with its number and its loss.

        Raises:
            ArgumentError: for other modes than plain single reverse steps, or an iterator in the place of a loader.
        """
        if self.wiener or self.steps != 1 or self.paper_eq7 or self.side != "input":
            raise ArgumentError("fit_sgd trains one reverse step on the input side; attach with mode='ddpm', steps=1")
        if epochs < 1 or not 0 <= lam <= 1:
            raise ArgumentError(f"expected epochs >= 1 and lam in [0, 1], got {epochs} and {lam}")
        if iter(loader) is loader:
            raise ArgumentError("the loader is read several times, and an iterator can be read once; pass a DataLoader")
        self.moments, batches = {}, 0

        def counted() -> Iterator[Any]:
            nonlocal batches
            for batch in loader:
                batches += 1
                yield batch

        self.fit(counted())
        steps = {layer.name: self._step_of(layer) for layer in self._called()}
        descent = Descent(loss, task_loss, lam, epochs * batches, learning_rate, seed)
        result = fit_predictors(self, steps, loader, descent, progress)
        self.predictors, self._maps = result.predictors, {}
        return result

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The network's output with the denoisers applied beside its layers."""
        with self.applied(self.maps()):
            return self.model(*inputs, **options)

    def maps(self) -> dict[str, AffineMap]:
        """The denoiser of each layer that was called, by its name.

        Raises:
            SurgeryError: it was not fitted yet.
        """
        if not self.moments:
            raise SurgeryError("this handle was not fitted yet; call fit(loader) first")
        if not self._maps:
            self._maps = {layer.name: self._map(layer) for layer in self._called()}
        return self._maps

    def new_weights(self) -> dict[str, Tensor]:
        """State-dict entries of the fused network that differ from the present ones."""
        entries: dict[str, Tensor] = {}
        for name, denoiser in self.maps().items():
            layer = next(layer for layer in self.attached if layer.name == name)
            fold = fold_input if self.side == "input" else fold_output
            kernel = layer.kernel()
            moved = AffineMap(*(part.to(kernel) for part in denoiser))
            entries |= layer.restored(*fold(kernel, layer.offset(), moved))
        return entries

    def status(self, layer: Layer) -> str:
        """Step and offset of the layer's denoiser, once it is known."""
        if not self.moments:
            return "not fitted yet"
        if layer.name not in self.moments:
            return "never called"
        offset = "with offset" if self.takes_offset(layer) else "no offset"
        return f"t={self._step_of(layer)}, {offset}"

    def takes_offset(self, layer: Layer) -> bool:
        """Whether an offset of the layer's denoiser can be fused."""
        has_bias = layer.bias is not None or self.add_bias
        return has_bias and not self.paper_eq7 and not (self.side == "input" and layer.pads_with_zeros)

    @contextmanager
    def applied(self, maps: dict[str, AffineMap]) -> Iterator[None]:
        """Within it the network runs with ``maps`` beside its layers."""
        handles = [_hook(layer, maps[layer.name], self.side) for layer in self.attached if layer.name in maps]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _refusing_cross_attention(self) -> Iterator[None]:
        """Within it, attentions whose query, key and value are not one tensor are found out, and refused at its end."""
        crossing: set[str] = set()
        handles = [
            layer.module.register_forward_pre_hook(partial(_note_crossing, crossing, layer.name))
            for layer in self.attached
            if layer.is_attention
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        self.layers = [
            replace(layer, reason="query, key and value differ") if layer.name in crossing else layer
            for layer in self.layers
        ]

    def _run(self, batch: Any) -> Any:
        return self.model(network_inputs(batch))

    def _called(self) -> list[Layer]:
        return [layer for layer in self.attached if layer.name in self.moments]

    def _step_of(self, layer: Layer) -> int:
        if self.t != "depth":
            return self.t
        return (len(self.moments) - list(self.moments).index(layer.name)) * self.steps

    def _map(self, layer: Layer) -> AffineMap:
        moments, t, offset = self.moments[layer.name], self._step_of(layer), self.takes_offset(layer)
        if layer.name in self.predictors:
            return reverse_step(self.predictors[layer.name], self.schedule, t)
        if self.wiener:
            kept = self.schedule.alpha_bar(t)
            return wiener_map(moments, (1 - kept) / kept, offset=offset)
        return denoising_map(moments, self.schedule, t, self.steps, offset=offset, paper_eq7=self.paper_eq7)

    @property
    def _order(self) -> list[str]:
        return list(self.moments)

    def _restrict(self, layer: Layer) -> None:
        self.moments = {name: kept for name, kept in self.moments.items() if name == layer.name}
        self.predictors = {name: kept for name, kept in self.predictors.items() if name == layer.name}
        self._maps = {}


def _note_crossing(crossing: set[str], name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
    if not attends_to_itself(inputs):
        crossing.add(name)


def _joined(old: FeatureMoments | None, new: FeatureMoments) -> FeatureMoments:
    return new if old is None else old.merged(new)


def _refused_at(side: str, layer: Layer) -> Layer:
    if side == "output" and layer.is_attention and not layer.reason:
        return replace(layer, reason="the output of its packed projection cannot be seen; use side='input'")
    return layer


def _hook(layer: Layer, denoiser: AffineMap, side: str) -> Any:
    channel = layer.channel_dim
    if side == "output":
        return layer.module.register_forward_hook(lambda _, inputs, output: denoiser(output, channel))

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        clean = denoiser(inputs[0], channel)
        copies = 3 if layer.is_attention else 1  # query, key and value are one tensor
        return (clean,) * copies + inputs[copies:]

    return layer.module.register_forward_pre_hook(before)
