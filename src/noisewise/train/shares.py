"""What several processes do alike and together, so that they train as one does: shares of a batch, averages."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from noisewise._rng import make_generator, place_generator
from noisewise.errors import ArgumentError, CheckpointError
from noisewise.train.checkpoint import Done

__all__ = ["average_buffers", "average_gradients", "generator_of", "require_shares", "same_everywhere", "share"]

Batch = TypeVar("Batch", bound=tuple[Tensor, ...])


def require_shares(accelerator: Accelerator, batch: int | None) -> None:
    """Check that every process gets equally many images, of a batch that can be shared at all.

    Raises:
        ArgumentError: it would not.
    """
    if batch is None and accelerator.num_processes > 1:
        raise ArgumentError(
            f"expected one process, got {accelerator.num_processes}; the images of these batches belong together"
        )
    if batch is not None and batch % accelerator.num_processes:
        raise ArgumentError(
            f"expected a batch that {accelerator.num_processes} processes share evenly, got {batch} images; start "
            "another number of processes, or change the batch of the recipe"
        )


def everywhere(accelerator: Accelerator, value: bool) -> bool:
    """Whether it is so in every process."""
    return value if accelerator.num_processes == 1 else all(gather_object([value]))


def same_everywhere(accelerator: Accelerator, done: Done) -> Done:
    """How far the run has come, once all processes agree on it.

    Raises:
        CheckpointError: they do not, for some do not see the checkpoint.
    """
    if accelerator.num_processes > 1:
        found = cast("list[Done]", gather_object([done]))
        if len(set(found)) > 1:
            steps = sorted({one.steps for one in found})
            raise CheckpointError(
                f"expected every process at one step, found steps {', '.join(map(str, steps))}; put the output on a "
                "file system that all machines see"
            )
    return done


def share(accelerator: Accelerator, batch: Batch) -> Batch:
    """The images of this process, from a batch whose tensors have one row an image, or are one number for all."""
    if accelerator.num_processes == 1:
        return batch
    rows = slice(accelerator.process_index, None, accelerator.num_processes)
    return type(batch)(*(tensor[rows] if tensor.ndim else tensor for tensor in batch))


def generator_of(accelerator: Accelerator, step: int) -> torch.Generator:
    """For what a loss draws by itself: no two processes draw the same."""
    return make_generator(step) if accelerator.num_processes == 1 else place_generator(step, accelerator.process_index)


def average_gradients(accelerator: Accelerator, model: nn.Module) -> None:
    """Give every process the mean gradient; a parameter without one has none anywhere."""
    _average(accelerator, [one.grad for one in model.parameters() if one.grad is not None])


def average_buffers(accelerator: Accelerator, model: nn.Module) -> None:
    """Give every process the mean of the running statistics."""
    _average(accelerator, [buffer for buffer in model.buffers() if buffer.is_floating_point()])


def _average(accelerator: Accelerator, tensors: list[Tensor]) -> None:
    """In place, and in one message, which is faster than many."""
    if accelerator.num_processes == 1 or not tensors:
        return
    flat = accelerator.reduce(torch.cat([tensor.flatten() for tensor in tensors]), "mean")
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
