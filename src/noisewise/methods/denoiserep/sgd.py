"""Algorithm 1 of the paper: the noise predictors by gradient descent, and their distance from the optimum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.methods.denoiserep.closed_form import NoisePredictor, best_predictor, expected_loss, reverse_step
from noisewise.models.backbones import logits
from noisewise.surgery import Layer

if TYPE_CHECKING:
    from noisewise.methods.denoiserep.branched import Branched

__all__ = ["Descent", "SgdFit", "TaskLoss", "fit_predictors"]

TaskLoss = Callable[[Tensor, Tensor], Tensor]

_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda error: error.abs().mean(),
    "l2": lambda error: error.square().mean(),
    "l1+l2": lambda error: error.abs().mean() + error.square().mean(),
}


class SgdFit(NamedTuple):
    """Where the descent ended; losses are expected squared errors per feature, exact over the noise."""

    predictors: dict[str, NoisePredictor]
    losses: dict[str, float]
    optima: dict[str, float]

    @property
    def gap(self) -> float:
        """Greatest excess over the closed-form optimum among the layers; never negative but for rounding."""
        return max(self.losses[name] - self.optima[name] for name in self.losses)


class Descent(NamedTuple):
    """How to descend; see :meth:`Branched.fit_sgd`."""

    loss: str
    task_loss: TaskLoss | None
    lam: float
    steps: int
    learning_rate: float
    seed: int


def fit_predictors(
    handle: Branched,
    diffusion_steps: Mapping[str, int],
    loader: Iterable[Any],
    descent: Descent,
    progress: Callable[[int, float], None],
) -> SgdFit:
    """Train a predictor for each layer of ``diffusion_steps`` with Adam; the network stays as it is."""
    if descent.loss not in _LOSSES:
        raise ArgumentError(f"expected one of the losses {', '.join(_LOSSES)}, got {descent.loss!r}")
    layers = [layer for layer in handle.attached if layer.name in diffusion_steps]
    trained = {layer.name: _Trained(handle, layer, diffusion_steps[layer.name]) for layer in layers}
    parameters = [value for predictor in trained.values() for value in predictor.parameters]
    optimizer = torch.optim.Adam(parameters, lr=descent.learning_rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=descent.steps)
    generator = make_generator(descent.seed, parameters[0].device)
    with _frozen(handle.model):
        for step, batch in enumerate(islice(_repeated(loader), descent.steps), start=1):
            value = _objective(handle, trained, batch, descent, generator)
            optimizer.zero_grad()
            torch.autograd.backward(value)
            optimizer.step()
            falling.step()
            progress(step, float(value.detach()))
    return _compared(handle, {name: one.detached() for name, one in trained.items()}, diffusion_steps)


def _repeated(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Within it no gradient reaches the network's own parameters."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


class _Trained:
    """A predictor under training, and the loss of the features that its layer saw last."""

    def __init__(self, handle: Branched, layer: Layer, t: int) -> None:
        mean = handle.moments[layer.name].mean
        size, device = mean.shape[-1], layer.weight.device
        self.layer, self.t, self.schedule = layer, t, handle.schedule
        self.weight = torch.zeros(*mean.shape, size, device=device, requires_grad=True)
        self.bias = torch.zeros(mean.shape, device=device, requires_grad=handle.takes_offset(layer))
        self.parameters = [value for value in (self.weight, self.bias) if value.requires_grad]

    @property
    def predictor(self) -> NoisePredictor:
        return NoisePredictor(self.weight, self.bias)

    def detached(self) -> NoisePredictor:
        return NoisePredictor(*(value.detach().double() for value in self.predictor))

    def loss(self, features: Tensor, penalty: Callable[[Tensor], Tensor], generator: torch.Generator) -> Tensor:
        """Of one batch of features with fresh noise."""
        last = features.detach().float().movedim(self.layer.channel_dim, -1)
        rows = last.reshape(-1, *self.bias.shape)
        kept = self.schedule.alpha_bar(self.t)
        noise = torch.randn(rows.shape, generator=generator, device=generator.device).to(rows.device)
        noisy = kept**0.5 * rows + (1 - kept) ** 0.5 * noise
        return penalty(torch.einsum("gij,ngj->ngi", self.weight, noisy) + self.bias - noise)


def _objective(
    handle: Branched,
    trained: Mapping[str, _Trained],
    batch: Any,
    descent: Descent,
    generator: torch.Generator,
) -> Tensor:
    """Equation 12: ``(1 - lam) task + lam noise``; the noise term alone where there is no task loss."""
    seen: list[Tensor] = []
    hooks = [_watch(one, _LOSSES[descent.loss], generator, seen) for one in trained.values()]
    inputs, labels = batch if isinstance(batch, list | tuple) else (batch, None)
    try:
        if descent.task_loss is None:
            with torch.no_grad():
                handle.model(inputs)
            return _mean(seen)
        if labels is None:
            raise ArgumentError("a task loss needs labels; let the loader yield pairs of inputs and labels")
        maps = {name: reverse_step(one.predictor, handle.schedule, one.t) for name, one in trained.items()}
        with handle.applied(maps):
            output = logits(handle.model(inputs))
        task = descent.task_loss(output, labels)
        return (1 - descent.lam) * task + descent.lam * _mean(seen).to(task.device)
    finally:
        for hook in hooks:
            hook.remove()


def _mean(losses: list[Tensor]) -> Tensor:
    return torch.stack([loss.to(losses[0].device) for loss in losses]).mean()


def _watch(
    trained: _Trained, penalty: Callable[[Tensor], Tensor], generator: torch.Generator, seen: list[Tensor]
) -> Any:
    def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        with torch.enable_grad():
            seen.append(trained.loss(inputs[0], penalty, generator))

    return trained.layer.module.register_forward_pre_hook(before)


def _compared(handle: Branched, predictors: dict[str, NoisePredictor], steps: Mapping[str, int]) -> SgdFit:
    losses, optima = {}, {}
    for layer in handle.attached:
        if layer.name in predictors:
            moments, kept = handle.moments[layer.name], handle.schedule.alpha_bar(steps[layer.name])
            best = best_predictor(moments, kept, offset=handle.takes_offset(layer))
            losses[layer.name] = expected_loss(predictors[layer.name], moments, kept)
            optima[layer.name] = expected_loss(best, moments, kept)
    return SgdFit(predictors, losses, optima)
