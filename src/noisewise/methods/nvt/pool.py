"""The noise that the thesis trains on: of each image one kind, with a level of its own.

Source: thesis, sections 7.6 and 8.4.2. The ranges of Gaussian noise and of the banding are the thesis's; those of shot
and read noise, quantisation and colour bias are ours.
"""

from __future__ import annotations

from noisewise.noise import OneOf
from noisewise.train.recipe import noise_pool

__all__ = ["POOL", "thesis_noise"]

POOL = (
    (2.0, "gaussian:sigma=25..80"),
    (1.0, "shot_read:gain=0..4,sigma=0..15"),
    (0.5, "shot_read:gain=0..4,sigma=0..15,tails=student_t"),
    (0.5, "shot_read:gain=0..4,sigma=0..15,tails=tukey_lambda"),
    (1.0, "rows:sigma=15..40"),
    (1.0, "columns:sigma=15..40"),
    (1.0, "quantisation:step=0..32"),
    (1.0, "color_bias:sigma=0..8"),
)
"""Weight and specification of each kind; pixel units are 0-255."""


def thesis_noise() -> OneOf:
    """One of the pool for each image."""
    return noise_pool(POOL)
