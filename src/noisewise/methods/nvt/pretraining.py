"""Pre-training of an encoder-decoder with the modules of Noisy Visual Training, any of them left out at will."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisewise._rng import initialised
from noisewise.errors import ArgumentError
from noisewise.methods.nvt.disentangling import Disentangling, Features, Joining, Reconstructions, disentangling_loss
from noisewise.methods.nvt.information import InformationCritics
from noisewise.methods.nvt.losses import LOSSES
from noisewise.methods.nvt.pyramid import Pyramid
from noisewise.methods.nvt.views import NoisyViews, Views
from noisewise.models.unet import UNet
from noisewise.surgery import fingerprint
from noisewise.train.loop import Progress, Run, optimise

__all__ = ["Modules", "Pupil", "pretrain"]

Target = Literal["clean", "other_view"]


@dataclass(frozen=True)
class Modules:
    """Which modules take part.

    Attributes:
        joining: of content and noise in the decoder (NRL); None for one encoder and no noise.
        information: weight of the mutual information terms (MIO), 0 for none; it needs NRL.
        pyramid: the image's scales at every level of the network (PFIC).
        target: ``"clean"`` is supervised; with ``"other_view"`` no clean image is looked at (Noise2Noise).
        loss: a name of ``LOSSES`` other than ``"bce"``, which is for networks that give logits.
    """

    joining: Joining | None = "concatenate"
    information: float = 0.0
    pyramid: bool = False
    target: Target = "clean"
    loss: str = "l1"

    def __post_init__(self) -> None:
        if self.joining not in (None, *get_args(Joining)):
            raise ArgumentError(f"expected joining from {get_args(Joining)}, or None, got {self.joining!r}")
        if self.information < 0 or (self.information and self.joining is None):
            raise ArgumentError(f"expected information >= 0, and 0 without NRL (joining=None), got {self}")
        if self.target not in ("clean", "other_view"):
            raise ArgumentError(f"expected the target 'clean' or 'other_view', got {self.target!r}")
        if LOSSES[self.loss] is LOSSES["bce"]:
            raise ArgumentError("expected a loss of images, got 'bce' of logits; take l1, mse or charbonnier")


class Pupil(nn.Module):
    """What is trained: the network, and what leaves it when training is over.

    Args:
        modules: which take part.
        channels: of the images.
        widths: channels of the network's levels, finest first.
    """

    def __init__(self, modules: Modules, channels: int = 3, widths: tuple[int, ...] = (32, 48, 64)) -> None:
        super().__init__()
        self.modules_, self.distance = modules, LOSSES[modules.loss]
        network: nn.Module = UNet(channels, widths)
        self.network: Any = Pyramid(network, channels, widths) if modules.pyramid else network
        self.critics: InformationCritics | None = None
        if modules.joining is not None:
            self.network = Disentangling(self.network, UNet(channels, widths), widths, modules.joining)
        if modules.information:
            self.critics = InformationCritics(channels, widths[-1], widths[-1])

    def loss(self, batch: Views) -> Tensor:
        """Of one step; see :class:`Modules` for its parts."""
        supervised = self.modules_.target == "clean"
        targets = (batch.clean, batch.clean) if supervised else (batch.second, batch.first)
        views = (batch.first, batch.second)
        return self._disentangled(views, targets) if self.modules_.joining else self._plain(views, targets)

    def pruned(self) -> nn.Module:
        """The plain encoder-decoder that is left for use."""
        network: nn.Module = self.network.pruned() if isinstance(self.network, Disentangling) else self.network
        return network.eval()

    def _plain(self, views: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
        scales = [self.network.decode(self.network.encode(view)) for view in views]
        fine = [self.distance(levels[0], target) for levels, target in zip(scales, targets, strict=True)]
        return torch.stack(fine).mean() + self._coarse([levels[1:] for levels in scales], targets)

    def _disentangled(self, views: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
        found = Reconstructions.of(self.network, *views)
        total = disentangling_loss(found, views, targets, distance=self.distance)
        return total + self._coarse(found.coarse, targets) + self._information(found, views, targets)

    def _coarse(self, levels: Sequence[Features], targets: tuple[Tensor, Tensor]) -> Tensor:
        """The pyramid's constraint at 1/2, 1/4, ... of the resolution by share of pixels; 0 without a pyramid."""
        if not self.modules_.pyramid:
            return targets[0].new_zeros(())
        losses = [
            4.0**-index * self.distance(estimate, F.avg_pool2d(target, 2**index))
            for scales, target in zip(levels, targets, strict=True)
            for index, estimate in enumerate(scales, start=1)
        ]
        return torch.stack(losses).sum() / len(levels)

    def _information(
        self, found: Reconstructions, views: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Critics and encoders in one step, opposed by a reversed gradient where they are opponents."""
        if self.critics is None:
            return views[0].new_zeros(())
        content, noise = found.contents[0][-1], found.noises[0][-1]
        bounds = self.critics(targets[0], views[0], content, noise, reversal=1.0)
        weighted: Tensor = self.modules_.information * bounds.critic_loss
        return weighted


def pretrain(
    modules: Modules,
    data: NoisyViews,
    checkpoint: Path,
    *,
    widths: tuple[int, ...] = (32, 48, 64),
    progress: Progress = lambda step, loss: None,
    save_every: int = 250,
    mixed_precision: str = "bf16",
) -> nn.Module:
    """An encoder-decoder that denoises, pre-trained on two views of every patch; resumes from ``checkpoint``.

    Args:
        modules: which take part.
        data: what is trained on.
        checkpoint: where the state is kept.
        widths: channels of the network's levels, finest first.
        progress: told after every step.
        save_every: steps between checkpoints.
        mixed_precision: ``"bf16"`` or ``"no"``.

    Returns:
        The averaged and pruned network, ``B x 3 x H x W`` to the same.

    Raises:
        CheckpointError: the checkpoint belongs to another run, or to a longer one.
        TrainingError: the loss is not finite.
    """
    pupil = initialised(lambda: Pupil(modules, widths=widths), data.seed)
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=data.schedule.learning_rate, weight_decay=0.0)
    run = Run(_identity(pupil, data), pupil, optimizer, lambda model, batch, _: model.loss(batch), data, data.schedule)
    return optimise(run, checkpoint, progress=progress, save_every=save_every, mixed_precision=mixed_precision).pruned()


def _identity(pupil: Pupil, data: NoisyViews) -> str:
    """A short hash of network, modules, noise, images and seed; how long and how fast may be changed on the way."""
    settings = [data.schedule.batch, data.schedule.patch, data.schedule.ema, data.seed, data.mixup]
    text = f"{fingerprint(pupil)} {pupil.modules_} {data.noise!r} {data.patches.names} {settings}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
