"""Mutual information of jointly Gaussian variables, from a shrunken covariance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from noisewise.errors import ArgumentError

__all__ = ["Samples", "as_samples", "gaussian_information", "joint_covariance", "log_determinant", "standardised"]

Samples = Float[Tensor, "samples _"] | Float[Tensor, " samples"]


def gaussian_information(x: Samples, y: Samples, *, shrinkage: float | None = None) -> float:
    """``I(X; Y) = (log|S_x| + log|S_y| - log|S|) / 2`` in nats: that of Gaussian variables with these covariances.

    Shrinking, which is the default, biases it towards 0; with none it is the maximum-likelihood estimate for Gaussian
    variables, too high where samples are few. Of other variables it is what the correlations alone tell: a lower bound
    if X and Y are Gaussian each by itself. It does not depend on the scale of either, nor on any invertible linear
    transform of them where nothing is shrunken.

    Args:
        x: ``n x p``, rows are samples.
        y: ``n x q``, of the same samples.
        shrinkage: weight of the identity in the correlation matrix, 0 (none) to 1; the oracle approximating one
            (Chen et al. 2010) if None.

    Raises:
        ArgumentError: fewer than two samples, other numbers of samples in x and y, values that are not finite, a
            shrinkage outside [0, 1], or a singular covariance that no shrinkage mends.
    """
    x, y = as_samples(x, y)
    joint = torch.cat([standardised(x), standardised(y)], dim=1)
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ArgumentError(f"expected a shrinkage in [0, 1], got {shrinkage}")
    correlation = _shrunken(joint, shrinkage)
    p = x.shape[1]
    first, second = log_determinant(correlation[:p, :p]), log_determinant(correlation[p:, p:])
    return max(0.0, (first + second - log_determinant(correlation)) / 2)


def joint_covariance(x: Samples, y: Samples) -> tuple[Tensor, Tensor, Tensor]:
    """Covariances ``S_x``, ``S_y`` and ``S_xy``, float64, divided by the number of samples; errors as `as_samples`."""
    a, b = (values - values.mean(0) for values in as_samples(x, y))
    return a.T @ a / len(a), b.T @ b / len(a), a.T @ b / len(a)


def log_determinant(covariance: Float[Tensor, "p p"], *, scale: float = 0.0) -> float:
    """Of a symmetric matrix that must be positive definite.

    Args:
        covariance: the matrix.
        scale: size of the numbers that it was computed from, where that is larger than its own.

    Raises:
        ArgumentError: it is singular, to the precision of its elements.
    """
    spectrum = torch.linalg.eigvalsh(covariance)
    size = max(scale, spectrum[-1].item())
    if spectrum[0] <= 8 * len(spectrum) * torch.finfo(spectrum.dtype).eps * size:
        raise ArgumentError("a covariance is singular; pass more samples, fewer features, or a shrinkage above 0")
    return float(spectrum.log().sum())


def as_samples(x: Tensor, y: Tensor) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n q"]]:
    """Samples of two variables as rows in float64 on the CPU, apart from any graph; one feature may come as a vector.

    Raises:
        ArgumentError: fewer than two samples, other numbers of them in x and y, or values that are not finite.
    """
    if not (x.ndim in (1, 2) and y.ndim in (1, 2) and len(x) == len(y) >= 2):
        raise ArgumentError(
            f"expected rows of x and y for the same two samples or more, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    a, b = (values.detach().double().cpu().reshape(len(values), -1) for values in (x, y))
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ArgumentError("expected finite values, got NaN or infinity; drop those samples first")
    return a, b


def standardised(values: Samples) -> Samples:
    """Each feature with mean 0 and variance 1; one that is constant stays 0."""
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
