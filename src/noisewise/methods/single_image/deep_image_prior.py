"""Deep Image Prior: a network learns to draw the image from fixed noise, and draws what it shows before its noise.

Source: Ulyanov, Vedaldi and Lempitsky, CVPR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from noisewise._rng import make_generator
from noisewise.contracts import Images
from noisewise.errors import ArgumentError
from noisewise.methods.single_image.learner import LEARNERS, Learner
from noisewise.methods.single_image.observed import Observed
from noisewise.noise import functional as N

__all__ = ["DeepImagePrior"]


@LEARNERS.register("deep_image_prior")
@dataclass(frozen=True)
class DeepImagePrior(Learner):
    """Only the weights are learnt; the input is fixed but for a little jitter, which keeps the network smooth.

    Attributes:
        jitter: standard deviation of what is added to the input at every step.
        code_seed: of the input.
    """

    steps: ClassVar[int] = 2000
    share: ClassVar[float] = 0.05

    jitter: float = 1 / 30
    code_seed: int = 0

    def __post_init__(self) -> None:
        if not self.jitter >= 0:
            raise ArgumentError(f"expected jitter >= 0, got {self.jitter}")

    def loss(self, network: nn.Module, observed: Observed, generator: torch.Generator) -> Tensor:
        """``|f(z + jitter) - y|^2`` over the pixels that may be seen."""
        code = N.add_gaussian(self._code(observed.noisy), self.jitter, generator)
        squares: Tensor = (network(code) - observed.noisy).square() * observed.kept
        return squares.sum() / (observed.kept.sum() * observed.noisy.shape[1])

    def estimate(self, network: nn.Module, noisy: Images, generator: torch.Generator, passes: int) -> Images:
        """What the network draws; of the noisy image only the size counts."""
        image: Images = network(self._code(noisy))
        return image

    def _code(self, like: Images) -> Images:
        return N.uniform(like.shape, like, make_generator(self.code_seed, like.device))
