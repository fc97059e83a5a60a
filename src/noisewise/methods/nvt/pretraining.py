"""Pre-training of an encoder-decoder with the modules of Noisy Visual Training, any of them left out at will."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisewise.errors import ArgumentError
from noisewise.methods.nvt.disentangling import Disentangling, Joining, Reconstructions, disentangling_loss
from noisewise.methods.nvt.information import InformationCritics
from noisewise.methods.nvt.pyramid import Pyramid, pyramid_loss
from noisewise.methods.nvt.views import NoisyViews, Views
from noisewise.models.unet import UNet
from noisewise.surgery import fingerprint
from noisewise.train.loop import Progress, Run, initialised, optimise

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
    """

    joining: Joining | None = "concatenate"
    information: float = 0.0
    pyramid: bool = False
    target: Target = "clean"

    def __post_init__(self) -> None:
        if self.information < 0 or (self.information and self.joining is None):
            raise ArgumentError(f"expected information >= 0, and 0 without NRL (joining=None), got {self}")
        if self.target not in ("clean", "other_view"):
            raise ArgumentError(f"expected the target 'clean' or 'other_view', got {self.target!r}")


class Pupil(nn.Module):
    """What is trained: the network, and what leaves it when training is over.

    Args:
        modules: which take part.
        channels: of the images.
        widths: channels of the network's levels, finest first.
    """

    def __init__(self, modules: Modules, channels: int = 3, widths: tuple[int, ...] = (32, 48, 64)) -> None:
        super().__init__()
        self.modules_ = modules
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
        fine = [F.l1_loss(levels[0], target) for levels, target in zip(scales, targets, strict=True)]
        return torch.stack(fine).mean() + self._coarse(scales, targets)

    def _disentangled(self, views: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
        found = Reconstructions.of(self.network, *views)
        total = disentangling_loss(found, views, targets)
        if self.modules_.pyramid:
            total = total + self._coarse([self.network.scales(content) for content in found.contents], targets)
        return total + self._information(found, views, targets)

    def _coarse(self, scales: list[list[Tensor]], targets: tuple[Tensor, Tensor]) -> Tensor:
        """The pyramid's loss, 0 for a network without one."""
        if not self.modules_.pyramid:
            return targets[0].new_zeros(())
        pairs = zip(scales, targets, strict=True)
        return torch.stack([pyramid_loss(levels, target) for levels, target in pairs]).mean()

    def _information(
        self, found: Reconstructions, views: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Critics and encoders in one step, opposed by a reversed gradient where they are opponents."""
        if self.critics is None:
            return views[0].new_zeros(())
        noise = self.network.noise(views[0])[-1]
        bounds = self.critics(targets[0], views[0], found.contents[0][-1], noise, reversal=1.0)
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
