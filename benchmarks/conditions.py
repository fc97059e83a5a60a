"""The noises that dense tasks are tested under."""

from __future__ import annotations

from noisewise.contracts import Noise
from noisewise.tasks.classification import corruptions

__all__ = ["HARDENED_WITH", "SEEDS", "conditions"]

HARDENED_WITH = ("gaussian:sigma=46",)
"""Beside clean images: one level of one family, the middle severity."""

SEEDS = (0, 1, 2)
"""Of the noise that a network is hardened with."""


def conditions(*, quick: bool) -> dict[str, Noise | None]:
    """Clean, every registered noise at its middle severity, and Gaussian noise at the mildest and the strongest."""
    middles = {name: of[2] for name, of in corruptions(["gaussian"] if quick else None).items()}
    mildest, *_, strongest = corruptions(["gaussian"])["gaussian"]
    return {"clean": None, **middles} | ({} if quick else {"gaussian/1": mildest, "gaussian/5": strongest})
