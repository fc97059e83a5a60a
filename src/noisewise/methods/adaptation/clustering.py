"""Discriminative clustering: predictions that are sure of themselves one by one, and diverse together."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["clustering_information"]


def clustering_information(logits: Float[Tensor, "samples classes"]) -> Float[Tensor, ""]:
    """Mutual information of images and their predicted classes, ``H(<p>) - <H(p)>``, in nats.

    From 0, where all predictions are alike, to the logarithm of the number of classes.

    Source: Krause, Perona and Gomes, NeurIPS 2010; TVT (Yang et al., WACV 2023) maximises it on the target, in bits.
    """
    logs = logits.float().log_softmax(dim=1)  # in bfloat16 the difference of the two entropies drowns
    probabilities = logs.exp()
    mean = probabilities.mean(0)
    diversity = -(mean * mean.clamp_min(mean.new_tensor(1e-30)).log()).sum()
    doubt = -(probabilities * logs).sum(1).mean()
    return diversity - doubt
