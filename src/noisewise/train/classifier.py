"""Training on labelled images held in memory: random crops in, a classification or metric loss out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer, UInt8
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import Dataset

from noisewise._rng import place_generator
from noisewise.contracts import Images
from noisewise.errors import ArgumentError, DatasetError
from noisewise.models.backbones import logits
from noisewise.models.preprocess import Preprocess
from noisewise.surgery import fingerprint
from noisewise.train.loop import Progress, Run, optimise
from noisewise.train.recipe import Schedule

__all__ = [
    "LabelledBatch",
    "LabelledPixels",
    "ShuffledBatches",
    "decaying_weights_only",
    "random_crops",
    "random_crops_with_maps",
    "train_on_labels",
]

Network = TypeVar("Network", bound=nn.Module)

_ORDER, _CROPS = 1, 2  # each purpose has random numbers of its own


class LabelledPixels(NamedTuple):
    """A data set in memory."""

    images: UInt8[Tensor, "images 3 height width"]
    labels: Integer[Tensor, "images *map"]
    """A class index of each image, or one of each of its pixels."""


class LabelledBatch(NamedTuple):
    """One step's training data: the network's input, and what it shows."""

    images: Tensor
    labels: Tensor


def random_crops(images: Images, least: float, generator: torch.Generator) -> Images:
    """Crops at random places, half of them mirrored, resized to the size of the images (Szegedy et al. 2015).

    Args:
        images: ``B x C x H x W``.
        least: smallest share of height and of width that a crop keeps, in (0, 1]; the two shares are drawn apart.
        generator: one crop is drawn for each image.
    """
    grid = _crop_grid(images.shape, least, generator)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def random_crops_with_maps(
    images: Images, maps: Integer[Tensor, "batch height width"], least: float, generator: torch.Generator
) -> tuple[Images, Integer[Tensor, "batch height width"]]:
    """The crops of :func:`random_crops`, and the same of maps of class indices, by nearest neighbours."""
    grid = _crop_grid(images.shape, least, generator)
    crops = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    labels = F.grid_sample(maps[:, None].float(), grid, "nearest", "border", align_corners=False)
    return crops, labels[:, 0].long()


def _crop_grid(shape: torch.Size, least: float, generator: torch.Generator) -> Float[Tensor, "batch height width 2"]:
    unit = torch.rand(5, shape[0], generator=generator)
    sides = least + (1 - least) * unit[:2]
    centres = (1 - sides) * (2 * unit[2:4] - 1)
    mirror = torch.where(unit[4] < 0.5, -1.0, 1.0)
    maps = torch.diag_embed((sides * torch.stack([mirror, torch.ones_like(mirror)])).T)
    return F.affine_grid(torch.cat([maps, centres.T[:, :, None]], dim=2), list(shape), align_corners=False)


@dataclass(frozen=True, eq=False)
class ShuffledBatches(Dataset[LabelledBatch]):
    """The batch of every step, a pure function of seed and step; every epoch passes over all images in a new order.

    Attributes:
        data: images and labels.
        schedule: number of steps, and size of the batch.
        preprocess: from pixels in [0, 1] to the network's input.
        least_crop: see :func:`random_crops`.
        seed: of order and crops.

    Raises:
        ArgumentError: the share of a crop is not in (0, 1].
        DatasetError: there are fewer images than a batch takes.
    """

    data: LabelledPixels
    schedule: Schedule
    preprocess: Preprocess
    least_crop: float
    seed: int
    shared: ClassVar[bool] = True
    """Whether several processes can share a batch."""

    def __post_init__(self) -> None:
        if not 0 < self.least_crop <= 1:
            raise ArgumentError(
                f"expected a share least_crop in (0, 1], got {self.least_crop}; 1 keeps the whole image"
            )
        if len(self.data.images) < self.schedule.batch:
            raise DatasetError(
                f"expected at least one batch of {self.schedule.batch} images, found {len(self.data.images)}; "
                "add images, or take smaller batches"
            )

    def __len__(self) -> int:
        return self.schedule.steps

    def __getitem__(self, step: int) -> LabelledBatch:
        chosen = self.choose(step)
        pixels, labels = self.data.images[chosen].float() / 255, self.data.labels[chosen]
        generator = place_generator(self.seed, _CROPS, step)
        if labels.ndim == 1:
            return LabelledBatch(self.preprocess(random_crops(pixels, self.least_crop, generator)), labels)
        crops, maps = random_crops_with_maps(pixels, labels, self.least_crop, generator)
        return LabelledBatch(self.preprocess(crops), maps)

    def choose(self, step: int) -> Integer[Tensor, " batch"]:
        """Which images are in the batch of ``step``; what is left of an epoch after its last whole batch is dropped."""
        epoch, place = divmod(step, len(self.data.images) // self.schedule.batch)
        order = torch.randperm(len(self.data.images), generator=place_generator(self.seed, _ORDER, epoch))
        return order[place * self.schedule.batch :][: self.schedule.batch]

    def identity(self) -> str:
        """A text that differs from that of any other batches, whatever the number of steps."""
        settings = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("data", "schedule")}
        content = hashlib.sha256(save({"images": self.data.images, "labels": self.data.labels})).hexdigest()
        return f"{type(self).__name__} {content} {self.schedule.batch} {settings}"


def train_on_labels(
    network: Network,
    criterion: nn.Module,
    batches: ShuffledBatches,
    checkpoint: Path,
    *,
    weight_decay: float,
    progress: Progress = lambda step, loss: None,
    save_every: int = 250,
    mixed_precision: str = "bf16",
) -> Network:
    """Train until the schedule's last step, from ``checkpoint`` if there is one, and return the averaged network.

    By :func:`decaying_weights_only`. Killed and started again, a run ends bit for
    bit where an unbroken one on the same hardware would; that asks for a network without dropout.

    Args:
        network: in its initial state; trained in place.
        criterion: outputs and labels in, mean loss out; its parameters, if any, are trained, too.
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
    model = nn.ModuleDict({"network": network, "criterion": criterion}).train()
    optimizer = decaying_weights_only(model, batches.schedule.learning_rate, weight_decay)
    identity = _run_identity(model, batches, weight_decay)
    run = Run(identity, model, optimizer, _labelled_loss, batches, batches.schedule, batches.shared)
    trained = optimise(run, checkpoint, progress=progress, save_every=save_every, mixed_precision=mixed_precision)
    return cast("Network", trained["network"])


def decaying_weights_only(model: nn.Module, rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW that leaves biases and norms without decay (Loshchilov and Hutter 2019)."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate)


def _labelled_loss(model: nn.ModuleDict, batch: LabelledBatch, generator: torch.Generator) -> Tensor:
    loss: Tensor = model["criterion"](logits(model["network"](batch.images)).float(), batch.labels)
    return loss


def _run_identity(model: nn.ModuleDict, batches: ShuffledBatches, weight_decay: float) -> str:
    """A short hash of initial state, settings and data; how long and how fast may be changed on the way."""
    settings = [_settings(module) for module in model["criterion"].modules()]
    text = f"{model} {fingerprint(model)} {settings} {weight_decay} {batches.schedule.ema} {batches.identity()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _settings(module: nn.Module) -> dict[str, int | float | str]:
    """Margins, smoothings and the like, which a loss does not print."""
    return {name: value for name, value in vars(module).items() if isinstance(value, int | float | str)}
