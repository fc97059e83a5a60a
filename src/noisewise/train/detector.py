"""Training a detector of torchvision's on photographs with boxes: scale-jittered crops in, its own loss out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Integer
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import Dataset

from noisewise._rng import global_generators_at, place_generator
from noisewise.data.detection import Objects
from noisewise.errors import DatasetError
from noisewise.surgery import fingerprint
from noisewise.train.classifier import decaying_weights_only
from noisewise.train.loop import Progress, Run, optimise
from noisewise.train.recipe import Schedule

__all__ = ["BoxedBatch", "JitteredBatches", "train_detector"]

Network = TypeVar("Network", bound=nn.Module)

_ORDER, _JITTER = 1, 2  # each purpose has random numbers of its own


class BoxedBatch(NamedTuple):
    """One step's training data; a box belongs to the image that ``owners`` tells."""

    images: Float[Tensor, "batch 3 side side"]
    boxes: Float[Tensor, "objects 4"]
    labels: Integer[Tensor, " objects"]
    owners: Integer[Tensor, " objects"]

    def targets(self) -> list[dict[str, Tensor]]:
        """As torchvision's detectors take them."""
        own = [self.owners == index for index in range(len(self.images))]
        return [{"boxes": self.boxes[mask], "labels": self.labels[mask]} for mask in own]


@dataclass(frozen=True, eq=False)
class JitteredBatches(Dataset[BoxedBatch]):
    """The batch of every step, a pure function of seed and step: mirrored, scaled and cropped to squares.

    Source: large scale jittering, Ghiasi et al., CVPR 2021, by torchvision's transforms.

    Attributes:
        photographs: images ``3 x H x W`` in [0, 1] with what they show, held in memory.
        schedule: number of steps, size of the batch, and side of the squares.
        scales: least and greatest side of an image, as shares of a square's.
        seed: of order and jitter.

    Raises:
        DatasetError: there are fewer images than a batch takes.
    """

    photographs: Sequence[tuple[Tensor, Objects]]
    schedule: Schedule
    scales: tuple[float, float]
    seed: int

    def __post_init__(self) -> None:
        if len(self.photographs) < self.schedule.batch:
            raise DatasetError(
                f"expected at least one batch of {self.schedule.batch} photographs, found {len(self.photographs)}; "
                "add some, or take smaller batches"
            )

    def __len__(self) -> int:
        return self.schedule.steps

    def __getitem__(self, step: int) -> BoxedBatch:
        with global_generators_at(place_generator(self.seed, _JITTER, step).initial_seed()):
            jittered = [self._jittered(index) for index in self._choose(step)]
        images, boxes, labels = zip(*jittered, strict=True)
        owners = torch.repeat_interleave(torch.arange(len(images)), torch.tensor([len(one) for one in labels]))
        return BoxedBatch(torch.stack(images), torch.cat(boxes), torch.cat(labels), owners)

    def identity(self) -> str:
        """A text that differs from that of any other batches, whatever the number of steps."""
        content = hashlib.sha256()
        for image, objects in self.photographs:
            content.update(save({"image": image, "boxes": objects.boxes, "labels": objects.labels}))
        return f"{content.hexdigest()} {self.schedule.batch} {self.schedule.patch} {self.scales} {self.seed}"

    def _choose(self, step: int) -> list[int]:
        epoch, place = divmod(step, len(self.photographs) // self.schedule.batch)
        order = torch.randperm(len(self.photographs), generator=place_generator(self.seed, _ORDER, epoch))
        chosen: list[int] = order[place * self.schedule.batch :][: self.schedule.batch].tolist()
        return chosen

    def _jittered(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        image, objects = self.photographs[index]
        square = (self.schedule.patch, self.schedule.patch)
        jitter = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.ScaleJitter(square, self.scales),
                v2.RandomCrop(square, pad_if_needed=True),
                v2.SanitizeBoundingBoxes(min_size=4),
            ]
        )
        boxes = tv_tensors.BoundingBoxes(objects.boxes, format="XYXY", canvas_size=tuple(image.shape[1:]))
        found = jitter({"image": tv_tensors.Image(image), "boxes": boxes, "labels": objects.labels})
        return tuple(found[name].as_subclass(Tensor) for name in ("image", "boxes", "labels"))


def train_detector(
    network: Network,
    batches: JitteredBatches,
    checkpoint: Path,
    *,
    weight_decay: float,
    progress: Progress = lambda step, loss: None,
    save_every: int = 250,
    mixed_precision: str = "bf16",
) -> Network:
    """Train until the schedule's last step, from ``checkpoint`` if there is one, and return the averaged network.

    By :func:`decaying_weights_only`. Killed and started again, a run ends bit for bit where an unbroken one on the same
    hardware would.

    Args:
        network: a detector of torchvision in its initial state; trained in place.
        batches: what is trained on.
        checkpoint: where the state is kept.
        weight_decay: of the weights.
        progress: told after every step.
        save_every: steps between checkpoints.
        mixed_precision: ``"bf16"`` or ``"no"``.

    Raises:
        CheckpointError: the checkpoint belongs to another run, or to a longer one.
        TrainingError: the loss is not finite.
    """
    network.train()
    optimizer = decaying_weights_only(network, batches.schedule.learning_rate, weight_decay)
    text = f"{network} {fingerprint(network)} {weight_decay} {batches.schedule.ema} {batches.identity()}"
    identity = hashlib.sha256(text.encode()).hexdigest()[:16]
    run = Run(identity, network, optimizer, _summed_loss, batches, batches.schedule, shared=False)
    return optimise(run, checkpoint, progress=progress, save_every=save_every, mixed_precision=mixed_precision)


def _summed_loss(model: nn.Module, batch: BoxedBatch, generator: torch.Generator) -> Tensor:
    with global_generators_at(generator.initial_seed(), batch.images.device):
        losses: dict[str, Any] = model(list(batch.images), batch.targets())
    return torch.stack(list(losses.values())).sum()
