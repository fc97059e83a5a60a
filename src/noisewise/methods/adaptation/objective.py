"""The objective of TVT: a classifier on the source, two adversaries between the domains, clusters on the target."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch.nn.functional as F
from torch import Tensor, nn

from noisewise._registry import Registry
from noisewise.errors import ArgumentError
from noisewise.methods.adaptation.adversary import DomainDiscriminator, domain_loss
from noisewise.methods.adaptation.clustering import clustering_information
from noisewise.methods.adaptation.transferable import TransferableAttention

__all__ = ["OBJECTIVES", "Objective", "Pass", "adaptation_loss", "observed_pass"]


@dataclass(frozen=True)
class Objective:
    """Weights beside 1 for the cross-entropy on the source; 0 leaves a term out.

    Attributes:
        domain: of the adversary on the features that the classifier sees.
        patches: of the adversary on patches, with attention weighted by what it learns.
        clustering: of the discriminative clustering on the target, in nats.
    """

    domain: float = 0.0
    patches: float = 0.0
    clustering: float = 0.0

    def __post_init__(self) -> None:
        if min(self.domain, self.patches, self.clustering) < 0:
            raise ArgumentError(f"expected weights of at least 0, got {self}; 0 leaves a term out")


OBJECTIVES: Registry[Objective] = Registry("objective of adaptation")
"""``source_only``: no adaptation. ``dann``: Ganin et al., JMLR 2016. ``tvt``: as its authors weight amazon to webcam.

Their weight of the clustering is 0.1 for bits.
"""

OBJECTIVES.register("source_only")(Objective())
OBJECTIVES.register("dann")(Objective(domain=1.0))
OBJECTIVES.register("tvt")(Objective(domain=1.0, patches=0.01, clustering=0.1 / math.log(2)))


class Pass(NamedTuple):
    """What one pass of a domain gives."""

    logits: Tensor
    """``B x classes``."""
    features: Tensor
    """What the classifier sees, ``B x F``."""
    patches: Tensor | None
    """Verdicts on patches, ``B x heads x patches``, in a network with transferable attention."""


def observed_pass(network: nn.Module, images: Tensor) -> Pass:
    """One call of a timm network, and what its classifier and its discriminator of patches saw.

    The network itself is called, so that noise that was injected into it acts.
    """
    judge = next((part.discriminator for part in network.modules() if isinstance(part, TransferableAttention)), None)
    head = cast("Any", network).get_classifier()
    with _watching(head) as seen, _watching(judge) as judged:
        logits = network(images)
    return Pass(logits, seen[-1][0], judged[-1][1] if judged else None)


def adaptation_loss(
    source: Pass, labels: Tensor, target: Pass, judge: DomainDiscriminator, objective: Objective
) -> Tensor:
    """The objective of TVT: ``L_class + domain L_domain + patches L_patches - clustering I``.

    All are minimised; what makes adversaries of two terms is the reversal in the discriminators.

    Args:
        source: of labelled images.
        labels: of them.
        target: of images without labels.
        judge: of the features that the classifier sees.
        objective: the weights.
    """
    loss = F.cross_entropy(source.logits, labels)
    if objective.domain:
        loss = loss + objective.domain * domain_loss(judge(source.features), judge(target.features))
    if objective.patches and source.patches is not None and target.patches is not None:
        loss = loss + objective.patches * domain_loss(source.patches, target.patches)
    if objective.clustering:
        loss = loss - objective.clustering * clustering_information(target.logits)
    return loss


@contextmanager
def _watching(module: nn.Module | None) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Within it, inputs and outputs of a module are noted."""
    seen: list[tuple[Tensor, Tensor]] = []
    if module is None:
        yield seen
        return
    hook = module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    try:
        yield seen
    finally:
        hook.remove()
