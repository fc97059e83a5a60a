"""Mutual information by telling joint from shuffled pairs: the bounds as losses, and an estimate from a small critic.

A critic scores pairs; ``scores[i, j]`` is that of ``(x_i, y_j)``, so the diagonal holds samples of the joint
distribution and the rest samples of the product of the marginals.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise._rng import initialised, make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.information.gaussian import Samples, as_samples, standardised

__all__ = ["Bound", "Critic", "critic_information", "info_nce", "jensen_shannon"]

Scores = Float[Tensor, "n n"]
Bound = Callable[[Tensor], Tensor]
"""From a square of scores to the bound that a critic maximises."""

_HIDDEN = 128
_BATCH = 128


def info_nce(scores: Scores) -> Float[Tensor, ""]:
    """``log n + <s_ii - logsumexp_j s_ij>``: a lower bound of the mutual information that cannot exceed ``log n``.

    Source: van den Oord et al. 2018, Eq. 4.
    """
    return scores.diagonal().sub(scores.logsumexp(dim=1)).mean() + math.log(len(scores))


def jensen_shannon(scores: Scores) -> Float[Tensor, ""]:
    """``E_P[-softplus(-T)] - E_PP[softplus(T)]``: greatest where T is the logarithm of the density ratio.

    Its value is no mutual information (it ends at ``2 JS - log 4``, between -1.39 and 0), its gradients are
    steady. Source: Nowozin et al. 2016; Hjelm et al. 2019, Eq. 4.
    """
    others = ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    return -F.softplus(-scores.diagonal()).mean() - F.softplus(scores[others]).mean()


class Critic(nn.Module):
    """Scores pairs: the product of two small embeddings.

    Args:
        x_features: of a sample of x.
        y_features: of a sample of y.
        hidden: width of both networks.
        embedding: features whose product is the score.
    """

    def __init__(self, x_features: int, y_features: int, *, hidden: int = _HIDDEN, embedding: int = 32) -> None:
        super().__init__()
        self.x = _embedding(x_features, hidden, embedding)
        self.y = _embedding(y_features, hidden, embedding)

    def forward(self, x: Float[Tensor, "n _"], y: Float[Tensor, "n _"]) -> Scores:
        """Scores of all pairs."""
        scores: Tensor = self.x(x) @ self.y(y).T
        return scores


def critic_information(
    x: Samples,
    y: Samples,
    *,
    bound: Bound = info_nce,
    steps: int = 500,
    seed: int = 0,
) -> float:
    """A lower estimate of ``I(X; Y)`` in nats: a critic is trained on half of the samples and judged on the others.

    Judged by :func:`info_nce` over all of them at once, whichever bound it was trained with, so that the figure is a
    lower bound in expectation and at most the logarithm of half the number of samples. That takes their number squared
    in memory: a gigabyte for 32,000 samples.

    Args:
        x: ``n x p``.
        y: ``n x q``, of the same samples.
        bound: what the critic maximises in training.
        steps: of training, with Adam.
        seed: of split, initial weights and batches.

    Raises:
        ArgumentError: x and y are no samples of two variables, or fewer than eight.
    """
    if len(x) < 8:
        raise ArgumentError(f"expected at least eight samples to train and judge a critic on, got {len(x)}")
    generator = make_generator(seed)
    order = torch.randperm(len(x), generator=generator)
    a, b = (standardised(values).float()[order] for values in as_samples(x, y))
    half = len(x) // 2
    critic = _trained(a[:half], b[:half], bound, steps, generator, seed)
    with torch.inference_mode():
        return float(info_nce(critic(a[half:], b[half:])))


@torch.inference_mode(False)  # whatever the caller measures under
def _trained(x: Tensor, y: Tensor, bound: Bound, steps: int, generator: torch.Generator, seed: int) -> Critic:
    critic = initialised(lambda: Critic(x.shape[1], y.shape[1]), seed)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=2e-3, weight_decay=1e-2)
    with torch.enable_grad():
        for _ in range(steps):
            batch = torch.randperm(len(x), generator=generator)[:_BATCH]
            optimizer.zero_grad()
            torch.autograd.backward(-bound(critic(x[batch], y[batch])))
            optimizer.step()
    return critic.eval()


def _embedding(features: int, hidden: int, embedding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, embedding)
    )
