"""Mutual information of jointly Gaussian variables, from a shrunken covariance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from noisewise.errors import ArgumentError

__all__ = ["gaussian_information", "joint_covariance", "log_determinant", "require_pairs"]

Samples = Float[Tensor, "samples _"]


def gaussian_information(x: Samples, y: Samples, *, shrinkage: float | None = None) -> float:
    """``I(X; Y) = (log|S_x| + log|S_y| - log|S|) / 2`` in nats, exact for Gaussian variables.

    For others it is what the correlations alone tell: a lower bound if X and Y are Gaussian each by itself. It does
    not depend on the scale of either, nor on any invertible linear transform of them where nothing is shrunken.

    Args:
        x: ``n x p``, rows are samples.
        y: ``n x q``, of the same samples.
        shrinkage: weight of the identity in the correlation matrix, 0 to 1; more biases the figure towards 0. The
            oracle approximating one (Chen et al. 2010) if None.

    Raises:
        ArgumentError: fewer than two samples, other numbers of samples in x and y, values that are not finite, a
            shrinkage outside [0, 1], or a singular covariance that no shrinkage mends.
    """
    require_pairs(x, y)
    joint = torch.cat([_standardised(x.double()), _standardised(y.double())], dim=1)
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ArgumentError(f"expected a shrinkage in [0, 1], got {shrinkage}")
    correlation = _shrunken(joint, shrinkage)
    p = x.shape[1]
    first, second = log_determinant(correlation[:p, :p]), log_determinant(correlation[p:, p:])
    return max(0.0, (first + second - log_determinant(correlation)) / 2)


def joint_covariance(x: Samples, y: Samples) -> tuple[Tensor, Tensor, Tensor]:
    """Covariances ``S_x``, ``S_y`` and ``S_xy``, float64, divided by the number of samples."""
    a, b = (values.double() - values.double().mean(0) for values in (x, y))
    return a.T @ a / len(a), b.T @ b / len(a), a.T @ b / len(a)


def log_determinant(covariance: Float[Tensor, "p p"]) -> float:
    """Of a symmetric matrix that must be positive definite.

    Raises:
        ArgumentError: it is singular, to the precision of its elements.
    """
    spectrum = torch.linalg.eigvalsh(covariance)
    if spectrum[0] <= len(spectrum) * torch.finfo(spectrum.dtype).eps * spectrum[-1]:
        raise ArgumentError("a covariance is singular; pass more samples, fewer features, or a shrinkage above 0")
    return float(spectrum.log().sum())


def require_pairs(x: Tensor, y: Tensor) -> None:
    """Raise ArgumentError unless x and y are samples of two variables, finite, two or more, and as many of each."""
    if x.ndim != 2 or y.ndim not in (1, 2) or len(x) != len(y) or len(x) < 2:
        raise ArgumentError(
            f"expected rows of x and y for the same two samples or more, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not (x.isfinite().all() and y.isfinite().all()):
        raise ArgumentError("expected finite values, got NaN or infinity; drop those samples first")


def _standardised(values: Tensor) -> Tensor:
    centred = values - values.mean(0)
    deviation = centred.square().mean(0).sqrt()
    return centred / torch.where(deviation > 0, deviation, 1)


def _shrunken(joint: Tensor, shrinkage: float | None) -> Tensor:
    """``(1 - s) R + s I`` of the correlation matrix R; s as Chen et al. (2010), Eq. 23."""
    n, p = joint.shape
    correlation = joint.T @ joint / n
    if shrinkage is None:
        square, trace = correlation.square().sum(), correlation.trace()
        numerator = (1 - 2 / p) * square + trace**2
        denominator = (n + 1 - 2 / p) * (square - trace**2 / p)
        shrinkage = 1.0 if denominator <= 0 else min(1.0, float(numerator / denominator))
    return (1 - shrinkage) * correlation + shrinkage * torch.eye(p, dtype=joint.dtype)
