"""The entropy of a task and its change by noise, as *Explore Positive Noise in Deep Learning* has them.

The paper calls ``H(T; X) = H(Y; X) - H(X)`` the entropy of the task (Eq. 6) and a noise positive if it lowers it,
``MI(T, e) = H(T; X) - H(T; X | e) > 0``. The closed forms that follow are offered to compare with the paper. **None of
them says whether a noise helps**; each docstring says where it fails. For that see `gaussian_information` and its
neighbours, which estimate what the features tell of the labels before and after the noise.

Offered are Eqs. 6, 10, 13, 15 and 20. Eq. 11 is left out: its printed form could not be verified.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from noisewise._registry import Registry
from noisewise.errors import ArgumentError
from noisewise.measure.information.gaussian import Samples, joint_covariance, log_determinant

__all__ = [
    "PAPER_MI",
    "paper_mi_gaussian",
    "paper_mi_linear",
    "paper_mi_optimal",
    "paper_mi_salt_and_pepper",
    "task_entropy",
]


def task_entropy(x: Samples, y: Samples) -> float:
    """``H(Y; X) - H(X)``, the conditional entropy of Y, for Gaussian variables, in nats (Eq. 6).

    It is ``log((2 pi e)^q |S_y - S_yx S_x^-1 S_xy|) / 2``.

    Fails: it is a differential entropy and depends on the unit of Y; for class labels coded as numbers it depends on
    the code.

    Raises:
        ArgumentError: x and y are no samples of two variables, or a covariance is singular.
    """
    s_x, s_y, s_xy = joint_covariance(x, y)
    return _conditional_log_determinant(s_x, s_y, s_xy) / 2 + len(s_y) * math.log(2 * math.pi * math.e) / 2


def paper_mi_gaussian(x: Samples, y: Samples, sigma: float) -> float:
    """The change by independent Gaussian noise of ``sigma`` on x, in nats (Eq. 10).

    ``log(|S_x| |S_y - S_yx S_x^-1 S_xy| / (|S_x + e| |S_y - S_yx S_(x+e)^-1 S_xy|)) / 2``.

    Fails: the entropy of X is not updated to that of X + e, so that any noise counts as lost information, however
    little the labels depend on what it hides. It is never positive.

    Raises:
        ArgumentError: as for `task_entropy`, or sigma below 0.
    """
    if sigma < 0:
        raise ArgumentError(f"expected sigma >= 0, got {sigma}")
    s_x, s_y, s_xy = joint_covariance(x, y)
    noisy = s_x + sigma**2 * torch.eye(len(s_x), dtype=s_x.dtype)
    clean, disturbed = (log_determinant(s) + _conditional_log_determinant(s, s_y, s_xy) for s in (s_x, noisy))
    return (clean - disturbed) / 2


def paper_mi_linear(q: Float[Tensor, "k k"]) -> float:
    """The change by ``X + Q X``, ``-log|I + Q|`` in nats (Eq. 13); infinite where I + Q is singular.

    Fails: it is the entropy that X loses by contraction, and does not look at Y. Shrinking all features to a tenth
    scores ``k log 10`` and changes nothing; a cyclic relabelling of the rows, which destroys everything, scores 0.

    Raises:
        ArgumentError: the matrix is not square.
    """
    if q.ndim != 2 or q.shape[0] != q.shape[1]:
        raise ArgumentError(f"expected a square matrix, got {tuple(q.shape)}")
    return -float(torch.linalg.slogdet(torch.eye(len(q), dtype=torch.float64) + q.detach().cpu().double()).logabsdet)


def paper_mi_salt_and_pepper(probability: float) -> float:
    """The change by salt-and-pepper noise, minus the entropy of its mask, in nats for each feature (Eq. 15).

    Fails: it does not look at X or Y; a feature that tells nothing of the labels counts as much as the only one
    that does.

    Raises:
        ArgumentError: the probability lies outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise ArgumentError(f"expected a probability in [0, 1], got {probability}")
    weights = torch.tensor([probability / 2, probability / 2, 1 - probability], dtype=torch.float64)
    return float(torch.special.xlogy(weights, weights).sum())


def paper_mi_optimal(k: int) -> float:
    """The change by the optimal Q for k rows, ``(k - 1) log(k + 1)`` in nats (Eq. 20).

    Fails as `paper_mi_linear` does, of which it is the value for ``I + Q = (I + 11^T) / (k + 1)``: it grows with the
    batch, since ever more of the differences between samples are averaged away.

    Raises:
        ArgumentError: fewer than one row.
    """
    if k < 1:
        raise ArgumentError(f"expected at least one row, got {k}")
    return (k - 1) * math.log(k + 1)


PAPER_MI: Registry[Callable[..., float]] = Registry("closed form of the paper")
"""The closed forms by the name of the noise; each takes what its docstring says. ``linear`` is that of any Q."""

PAPER_MI.register("gaussian")(paper_mi_gaussian)
PAPER_MI.register("linear")(paper_mi_linear)
PAPER_MI.register("salt_and_pepper")(paper_mi_salt_and_pepper)
PAPER_MI.register("optimal")(paper_mi_optimal)


def _conditional_log_determinant(s_x: Tensor, s_y: Tensor, s_xy: Tensor) -> float:
    """``log |S_y - S_yx S_x^-1 S_xy|``, of what is left of Y's covariance where X is known."""
    log_determinant(s_x)  # raises where it is singular
    conditional = s_y - s_xy.T @ torch.linalg.solve(s_x, s_xy)
    return log_determinant(conditional, scale=float(s_y.diagonal().max()))
