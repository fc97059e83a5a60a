"""What a layer before a rectifier has to give: where that stops the clean output, anything else that it stops."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from noisewise.surgery.rectifiers import Rectifier

__all__ = ["rectified_target"]

Rows = Float[Tensor, "rows groups outputs"]


def rectified_target(clean: Rows, predicted: Rows, rectifier: Rectifier) -> Rows:
    """The output nearest to ``predicted`` that the rectifier makes no worse of than of ``clean``.

    With ``z = s y + t`` before the rectifier, that is ``clean`` where ``s clean + t > 0``, and elsewhere
    ``y - max(0, s y + t) / s``: the prediction itself, or the point at which it would be stopped. Least squares for
    these targets, and new targets for what it predicts, in turn, lower ``sum min_t |W' x - t|^2`` in every round.

    Source: after Zhang et al., TPAMI 2016, section 3.2, who let the target deviate at a price instead.

    Args:
        clean: outputs of the layer as it was, for clean images.
        predicted: outputs of the layer as it is to be, for noisy ones.
        rectifier: of the layer, with a scale and a shift for each of ``groups x outputs`` channels.
    """
    scale, shift = (value.reshape(1, *clean.shape[1:]) for value in (rectifier.scale, rectifier.shift))
    beyond = torch.where(scale == 0, 0, (scale * predicted + shift).clamp_min(0) / scale)
    return torch.where(scale * clean + shift > 0, clean, predicted - beyond)
