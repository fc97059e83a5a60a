"""Domain adversaries: a discriminator that tells source from target, and features that learn to deceive it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise.train.reversal import reverse_gradient

__all__ = ["DomainDiscriminator", "domain_loss", "reversal_ramp"]

Features = Float[Tensor, "*samples features"]
DomainLogits = Float[Tensor, "*samples"]

_STEEPNESS = 10.0


def reversal_ramp(share: float) -> float:
    """Strength of the reversal after a share of the training, ``2 / (1 + exp(-10 share)) - 1``: from 0 to almost 1.

    Source: Ganin et al., JMLR 2016, section 5.2.2.
    """
    return 2 / (1 + math.exp(-_STEEPNESS * share)) - 1


class DomainDiscriminator(nn.Sequential):
    """Log-odds that features come from the source. It begins undecided: its last layer is zero.

    Args:
        features: of an input, on the last axis.
        hidden: width of the two hidden layers.

    Attributes:
        reversal: strength with which gradients are turned round before they leave through the input.
    """

    def __init__(self, features: int, hidden: int) -> None:
        last = nn.Linear(hidden, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)
        self.reversal = 1.0

    def forward(self, features: Features) -> DomainLogits:
        """One logit for each vector of features."""
        logits: Tensor = super().forward(reverse_gradient(features, self.reversal))  # type: ignore[no-untyped-call]
        return logits.squeeze(-1)


def domain_loss(source: Float[Tensor, "*source"], target: Float[Tensor, "*target"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of the discriminator, the mean of both domains."""
    right = F.binary_cross_entropy_with_logits(source, torch.ones_like(source))
    wrong = F.binary_cross_entropy_with_logits(target, torch.zeros_like(target))
    return (right + wrong) / 2
