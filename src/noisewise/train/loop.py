"""The one training loop: a batch for every step in, the averaged network out, resumable bit for bit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, Subset

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError, CheckpointError, TrainingError
from noisewise.train.checkpoint import Done, load_checkpoint, save_checkpoint
from noisewise.train.recipe import Schedule
from noisewise.train.shares import (
    average_buffers,
    average_gradients,
    everywhere,
    generator_of,
    require_shares,
    same_everywhere,
    share,
)

__all__ = ["Progress", "Run", "optimise"]

Model = TypeVar("Model", bound=nn.Module)
Batch = TypeVar("Batch", bound=tuple[Tensor, ...])

Progress = Callable[[int, float], None]
"""Called after every step with the number of steps done and the loss."""

_GRADIENT_NORM = 0.5
_MOST_RETREATS = 3


@dataclass(frozen=True)
class Run(Generic[Model, Batch]):
    """What is trained, on what, and how fast.

    Attributes:
        identity: tells this run from others; a checkpoint of another one is refused.
        model: in its initial state; trained in place.
        optimizer: of the model's parameters; its rate is set at every step.
        loss: of the model on a batch; the generator is that of the step.
        batches: the index is the step.
        schedule: steps, rates and moving average.
        shared: whether several processes can share a batch, whose tensors then have one row an image.
    """

    identity: str
    model: Model
    optimizer: torch.optim.Optimizer
    loss: Callable[[Model, Batch, torch.Generator], Tensor]
    batches: Dataset[Batch]
    schedule: Schedule
    shared: bool = True


def optimise(
    run: Run[Model, Batch], checkpoint: Path, *, progress: Progress, save_every: int, mixed_precision: str
) -> Model:
    """Train until the schedule's last step, from ``checkpoint`` if there is one, and return the averaged model.

    Killed and started again, a run ends bit for bit where an unbroken one on the same hardware would. Ctrl-C saves the
    last whole step. A loss that is
    not finite takes it back to the last checkpoint, with a warning, and on from there at half the rate, three times at
    most.

    Args:
        run: what is trained.
        checkpoint: where the state is kept.
        progress: told after every step.
        save_every: steps between checkpoints.
        mixed_precision: ``"bf16"`` or ``"no"``.

    Raises:
        ArgumentError: another precision, or a batch that cannot be shared evenly.
        CheckpointError: the checkpoint belongs to another run, to a longer one, or is not seen by all processes.
        TrainingError: the loss is not finite, and there is no checkpoint, or stepping back did not help.
    """
    if mixed_precision not in ("bf16", "no"):
        raise ArgumentError(f"expected mixed_precision 'bf16' or 'no', got {mixed_precision!r}")
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    # Accelerate's own autocast is one for the whole process: a second run could not have another precision
    precision = torch.autocast(accelerator.device.type, torch.bfloat16, enabled=mixed_precision == "bf16")
    model = run.model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    decay = get_ema_multi_avg_fn(run.schedule.ema)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=decay, use_buffers=True)
    networks: dict[str, nn.Module] = {"model": model, "average": average}
    require_shares(accelerator, run.schedule.batch if run.shared else None)
    done = same_everywhere(accelerator, _done_before(run, checkpoint, networks))
    keep = partial(_kept_by_the_first, accelerator, checkpoint, run, networks)
    while done.steps < run.schedule.steps:
        state = _Whole(model, done)
        try:
            for step, batch in _batches(run, done.steps, accelerator.device):
                loss = _gradients(accelerator, precision, run, batch, step, slower=0.5**done.retreats)
                with state.changing():
                    run.optimizer.step()
                    average_buffers(accelerator, model)
                    average.update_parameters(model)
                    done = state.done = Done(step + 1, done.retreats)
                if done.steps % save_every == 0 or done.steps == run.schedule.steps:
                    keep(done)
                    accelerator.wait_for_everyone()
                progress(done.steps, loss)
        except _NotFiniteError as error:
            done = same_everywhere(accelerator, _stepped_back(accelerator, run, checkpoint, networks, done, error))
        except KeyboardInterrupt:
            if state.restored() and state.done.steps:
                keep(state.done)
            raise
    return cast("Model", average.module).cpu().eval()


def _kept_by_the_first(
    accelerator: Accelerator, checkpoint: Path, run: Run[Model, Batch], networks: dict[str, nn.Module], done: Done
) -> None:
    if accelerator.is_main_process:
        save_checkpoint(checkpoint, done, run.identity, networks, run.optimizer)


class _Whole:
    """Whether a run that is interrupted can be kept: weights between two steps, and buffers as they were there.

    Args:
        model: that is trained; a forward pass alone changes the statistics of its normalisations.
        done: how far it has come.
    """

    def __init__(self, model: nn.Module, done: Done) -> None:
        self.model, self.done, self.is_whole = model, done, True
        self.buffers = [buffer.clone() for buffer in model.buffers()]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Weights change within it."""
        self.is_whole = False
        yield
        self.buffers = [buffer.clone() for buffer in self.model.buffers()]
        self.is_whole = True

    def restored(self) -> bool:
        """Whether the weights are those of the last whole step; the buffers are made so."""
        for buffer, kept in zip(self.model.buffers(), self.buffers, strict=True):
            buffer.copy_(kept)
        return self.is_whole


class _NotFiniteError(Exception):
    """A loss or gradient that is NaN or infinite; the networks are as they were before it."""


def _done_before(run: Run[Model, Batch], checkpoint: Path, networks: dict[str, nn.Module]) -> Done:
    done = load_checkpoint(checkpoint, run.identity, networks, run.optimizer) if checkpoint.is_file() else Done(0)
    if done.steps > run.schedule.steps:
        raise CheckpointError(
            f"{checkpoint} is at step {done.steps}, beyond {run.schedule.steps}; delete it to start anew"
        )
    return done


def _stepped_back(
    accelerator: Accelerator,
    run: Run[Model, Batch],
    checkpoint: Path,
    networks: dict[str, nn.Module],
    done: Done,
    error: Exception,
) -> Done:
    """The last state that was saved, to go on from at half the rate."""
    if done.retreats == _MOST_RETREATS or not everywhere(accelerator, checkpoint.is_file()):
        raise TrainingError(f"{error}; lower the learning rate and run again from the last checkpoint") from error
    saved = _done_before(run, checkpoint, networks)
    warnings.warn(f"{error}; back to step {saved.steps}, and on at half the rate", stacklevel=3)
    return Done(saved.steps, done.retreats + 1)


def _batches(run: Run[Model, Batch], start: int, device: torch.device) -> Iterator[tuple[int, Batch]]:
    workers = 0 if device.type == "cpu" else 8  # on a CPU the network needs all cores itself
    steps = range(start, run.schedule.steps)
    loader = DataLoader(
        Subset(run.batches, steps),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=make_generator(start),  # else the loader draws from the caller's global generator
    )
    for step, batch in zip(steps, loader, strict=True):
        yield step, send_to_device(batch, device, non_blocking=True)


def _gradients(
    accelerator: Accelerator,
    precision: torch.autocast,
    run: Run[Model, Batch],
    batch: Batch,
    step: int,
    *,
    slower: float,
) -> float:
    for group in run.optimizer.param_groups:
        group["lr"] = slower * run.schedule.rate(step)
    run.optimizer.zero_grad()
    with precision:
        loss = run.loss(run.model, share(accelerator, batch), generator_of(accelerator, step))
    value = float(accelerator.reduce(loss.detach(), "mean"))
    _require_finite("loss", value, step)
    accelerator.backward(loss)
    average_gradients(accelerator, run.model)
    _require_finite("gradient", float(torch.nn.utils.clip_grad_norm_(run.model.parameters(), _GRADIENT_NORM)), step)
    return value


def _require_finite(what: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise _NotFiniteError(f"the {what} became {value} at step {step}")
