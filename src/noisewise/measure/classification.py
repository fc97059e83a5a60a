"""How well a classifier does: which samples are right, and how much corruptions cost against a reference network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from jaxtyping import Bool, Float, Integer
from torch import Tensor

from noisewise.errors import ArgumentError

__all__ = ["mean_corruption_error", "top_k_correct"]


def top_k_correct(
    logits: Float[Tensor, "batch classes"], labels: Integer[Tensor, " batch"], k: int = 1
) -> Bool[Tensor, " batch"]:
    """Whether the label of each sample is among its ``k`` highest scores; the mean over samples is top-k accuracy.

    Of two classes with the same score the one with the lower index goes first, on every device.

    Args:
        logits: scores or probabilities, ``B x K``.
        labels: class indices in [0, K), on the device of ``logits``.
        k: at least 1; from K on every sample is right.

    Raises:
        ArgumentError: other shapes, k below 1, a label that is no class of the network, or NaN among the scores.
    """
    _require_scores(logits, labels, k)
    scores = logits.gather(1, labels.long()[:, None])
    indices = labels.new_tensor(range(logits.shape[1]))
    ahead = (logits > scores) | ((logits == scores) & (indices < labels[:, None]))
    return ahead.sum(1) < k


def mean_corruption_error(
    errors: Mapping[str, Sequence[float]], reference_errors: Mapping[str, Sequence[float]]
) -> float:
    """Mean corruption error in percent: 100 is as fragile as the reference network, less is more robust.

    ``mCE = mean over c of (sum over s of E[c, s]) / (sum over s of E_ref[c, s])`` for corruptions c and severities s
    (Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR
    2019, section 4.2, where the reference is AlexNet).

    Args:
        errors: the top-1 errors of the network by corruption, one for each severity, all in one unit.
        reference_errors: those of the reference network, for the same corruptions and severities, in the same unit.

    Raises:
        ArgumentError: no corruptions, other corruptions or severities than the reference, or a reference without error.
    """
    counts, reference_counts = ({name: len(of) for name, of in table.items()} for table in (errors, reference_errors))
    if not counts or counts != reference_counts:
        raise ArgumentError(
            f"expected the same corruptions and numbers of severities from both networks, got {counts} and "
            f"{reference_counts} of the reference; measure both on one suite"
        )
    return 100 * fmean(_ratio(name, of, reference_errors[name]) for name, of in errors.items())


def _require_scores(logits: Tensor, labels: Tensor, k: int) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ArgumentError(
            f"expected logits B x K and B labels, got {tuple(logits.shape)} and {tuple(labels.shape)}; "
            "pass what the classifier returns for a batch, and class indices rather than one-hot rows"
        )
    if k < 1:
        raise ArgumentError(f"expected k of at least 1, got {k}; 1 and 5 are usual")
    strangers = labels[(labels < 0) | (labels >= logits.shape[1])]
    if strangers.numel():
        raise ArgumentError(
            f"expected labels in [0, {logits.shape[1]}), got {int(strangers[0])}; "
            "give the network one output for each class of the data set"
        )
    if logits.isnan().any():
        raise ArgumentError("expected scores that can be ranked, got NaN; check the network's weights and its input")


def _ratio(name: str, errors: Sequence[float], reference: Sequence[float]) -> float:
    if not sum(reference) > 0:
        raise ArgumentError(
            f"expected a reference with errors under {name!r}, got {sum(reference)} in all; leave that corruption out"
        )
    return sum(errors) / sum(reference)
