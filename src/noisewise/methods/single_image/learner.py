"""What every learner of one image is: a loss on what may be seen, and a way to ask the network that learnt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from noisewise._registry import Registry
from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.methods.single_image.observed import Observed
from noisewise.models import BlindDenoiser
from noisewise.models.unet import UNet

__all__ = ["LEARNERS", "Learner"]

LEARNERS: Registry[type[Learner]] = Registry("single-image learner")


class Learner(ABC):
    """One way to learn from one noisy image. Subclasses are immutable and leave the image alone.

    Attributes:
        steps: of the optimiser that a good result takes.
        rate: of Adam.
        passes: over which the final estimate is a mean, where estimates are random.
        patch: side of the random squares that are learnt from in turn; None for the whole image at every step.
        share: of the pixels that are held out as judges.
    """

    steps: ClassVar[int] = 1000
    rate: ClassVar[float] = 1e-3
    passes: ClassVar[int] = 1
    patch: ClassVar[int | None] = None
    share: ClassVar[float] = 0.02

    def require(self, network: nn.Module) -> None:
        """Fails where it cannot start from this network; here from a denoiser that wants a noise level, too.

        Raises:
            ArgumentError: as told.
        """
        if isinstance(network, BlindDenoiser):
            raise ArgumentError(
                "expected a network from images to images, such as models.unet.UNet, got a BlindDenoiser; "
                "gain_tuning starts from one"
            )

    def at(self, noisy: Images) -> Learner:
        """The learner for this image, with what must be measured in it."""
        return self

    def build(self, channels: int) -> nn.Module:
        """The network to start from where none is given."""
        return UNet(channels)

    def trainable(self, network: nn.Module) -> Iterable[nn.Parameter]:
        """The parameters that are learnt."""
        return network.parameters()

    @abstractmethod
    def loss(self, network: nn.Module, observed: Observed, generator: torch.Generator) -> Float[Tensor, ""]:
        """What a step of the optimiser makes less; held-out pixels have no part in it."""

    @abstractmethod
    def estimate(self, network: nn.Module, noisy: Images, generator: torch.Generator, passes: int) -> Images:
        """The clean image that the network sees in the noisy one."""

    def error(self, network: nn.Module, observed: Observed, generator: torch.Generator) -> float:
        """What judges the network, in evaluation mode: here the held-out pixels' mean squared error."""
        passes = max(1, self.passes // 8)
        return observed.error(self.estimate(network, observed.visible, generator, passes))

    def error_without(self, observed: Observed) -> float:
        """The same of what needs no network: means of their neighbours for held-out pixels."""
        return observed.error(observed.visible)
