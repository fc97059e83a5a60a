"""The loop around every learner: it stops early, can be interrupted, and returns the best that held-out pixels saw."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from noisewise._rng import initialised, place_generator
from noisewise.contracts import Images
from noisewise.errors import ArgumentError, TrainingError
from noisewise.methods.single_image.learner import Learner
from noisewise.methods.single_image.observed import Observed, hold_out

__all__ = ["Budget", "Check", "Fitted", "fit_image"]

Share = Callable[[float], None]
"""Called after every step with the share of the budget that is spent."""

_HELD_OUT, _TRAINING, _CHECKING, _FINAL = range(4)
_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Budget:
    """When to stop.

    Attributes:
        steps: at most.
        seconds: at most, the final estimate not counted; what is found then depends on the machine.
        check_every: steps between two looks at the held-out pixels.
        patience: looks without a better one after which it is over.
    """

    steps: int
    seconds: float = math.inf
    check_every: int = 50
    patience: int = 8

    def __post_init__(self) -> None:
        counts = (self.steps + 1, self.check_every, self.patience)
        if min(counts) < 1 or not self.seconds > 0:
            raise ArgumentError(f"expected steps >= 0, seconds above 0, check_every and patience >= 1, got {self}")


class Check(NamedTuple):
    """One look at the held-out pixels."""

    step: int
    error: float
    """Mean squared, with the variance of the noise in it."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was learnt from one image.

    Attributes:
        image: the estimate, ``1 x C x H x W``, not clipped.
        network: that made it, in evaluation mode.
        checks: every look at the held-out pixels; the first was before the first step.
        error_without: of what needs no network; a best look that is not below it is not worth keeping.
        interrupted: whether Ctrl-C ended it.
    """

    image: Images
    network: nn.Module
    checks: tuple[Check, ...]
    error_without: float
    interrupted: bool

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the network tells held-out pixels better than their neighbours' means do."""
        return self.best.error < self.error_without

    @property
    def best(self) -> Check:
        """The look at the network that was kept."""
        return min(self.checks, key=lambda check: check.error)


@torch.inference_mode(False)  # whatever the caller is under
@torch.enable_grad()
def fit_image(
    learner: Learner,
    noisy: Images,
    *,
    network: nn.Module | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Share = lambda share: None,
    on_check: Callable[[Check, nn.Module], None] = lambda check, network: None,
) -> Fitted:
    """Learn from one image, and return what the network with the least held-out error makes of all of it.

    Never worse, by that error, than the network at the start. Ctrl-C ends the learning, and the best so far is
    returned. Without a limit in seconds the result depends on seed and arguments alone. Works under ``torch.no_grad``
    and ``torch.inference_mode``, too.

    Args:
        learner: how to learn.
        noisy: ``1 x C x H x W``, nominally in [0, 1].
        network: where to start, left as it is; a new one if None.
        budget: when to stop; the learner's own number of steps if None.
        seed: of everything random.
        progress: called after every step.
        on_check: called at every look at the held-out pixels.

    Raises:
        ArgumentError: not one image, one too small to hold a pixel out, or a network that the learner cannot use.
        TrainingError: no estimate was finite.
        KeyboardInterrupt: before there was a first estimate.
    """
    if network is not None:
        learner.require(network)
    noisy = noisy.clone()  # tensors made in inference mode cannot be learnt from
    observed = hold_out(noisy, learner.share, place_generator(seed, _HELD_OUT, device=noisy.device))
    learner = learner.at(noisy)
    start = initialised(lambda: learner.build(noisy.shape[1]), seed) if network is None else copy.deepcopy(network)
    pupil = start.to(noisy.device).requires_grad_(True).train()
    run = _Run(learner, pupil, observed, seed, on_check)
    interrupted = run.within(budget or Budget(learner.steps), progress)
    run.take_back_to_best()
    passes = 1 if interrupted else learner.passes
    pupil.eval()
    with torch.no_grad():
        image = learner.estimate(pupil, noisy, place_generator(seed, _FINAL, device=noisy.device), passes)
    return Fitted(image, pupil, tuple(run.checks), learner.error_without(observed), interrupted)


class _Run:
    """A learning that is under way, and the best that it has seen."""

    def __init__(
        self,
        learner: Learner,
        network: nn.Module,
        observed: Observed,
        seed: int,
        on_check: Callable[[Check, nn.Module], None],
    ) -> None:
        self.learner, self.network, self.observed, self.seed, self.on_check = learner, network, observed, seed, on_check
        self.optimizer = torch.optim.Adam(learner.trainable(network), lr=learner.rate)
        self.checks: list[Check] = []
        self.best_state: dict[str, Tensor] | None = None

    def within(self, budget: Budget, progress: Share) -> bool:
        """Learn until the budget is spent or nothing gets better; whether it was interrupted before."""
        try:
            for step, last in _steps(budget, progress):
                if step % budget.check_every == 0 or last:
                    self.check(step)
                    if self._patience_is_over(budget.patience):
                        break
                if not last:
                    self.learn(step)
        except KeyboardInterrupt:
            if self.best_state is None:
                raise
            return True
        return False

    def learn(self, step: int) -> None:
        generator = place_generator(self.seed, _TRAINING, step, device=self.observed.noisy.device)
        side = self.learner.patch
        seen = self.observed if side is None else self.observed.crop(side, generator)
        self.optimizer.zero_grad()
        torch.autograd.backward(self.learner.loss(self.network, seen, generator))
        nn.utils.clip_grad_norm_(self.network.parameters(), _GRADIENT_NORM)
        self.optimizer.step()

    @torch.no_grad()
    def check(self, step: int) -> None:
        self.network.eval()
        generator = place_generator(self.seed, _CHECKING, device=self.observed.noisy.device)
        error = self.learner.error(self.network, self.observed, generator)
        if math.isfinite(error) and error < min((check.error for check in self.checks), default=math.inf):
            self.best_state = copy.deepcopy(self.network.state_dict())
        self.network.train()
        self.checks.append(Check(step, error if math.isfinite(error) else math.inf))
        self.on_check(self.checks[-1], self.network)

    def take_back_to_best(self) -> None:
        if self.best_state is None:
            raise TrainingError("no finite estimate came of this image; look for NaN or infinite pixels in it")
        self.network.load_state_dict(self.best_state)

    def _patience_is_over(self, patience: int) -> bool:
        best = min(range(len(self.checks)), key=lambda index: self.checks[index].error)
        return len(self.checks) - 1 - best >= patience


def _steps(budget: Budget, progress: Share) -> Iterator[tuple[int, bool]]:
    """Numbers of the steps, and after them that of the last look, which is told by the second value."""
    began = time.monotonic()
    for step in range(budget.steps + 1):
        spent = (time.monotonic() - began) / budget.seconds
        progress(min(1.0, max(spent, step / max(1, budget.steps))))
        yield step, step == budget.steps or spent >= 1
        if spent >= 1:
            return
