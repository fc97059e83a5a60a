"""Every registered noise at five severities, in the manner of ImageNet-C (Hendrycks and Dietterich, ICLR 2019)."""

from __future__ import annotations

from collections.abc import Iterable

from noisewise.noise import NOISES, ImageNoise, parse_noise

__all__ = ["FACTORS", "MIDDLE", "corruptions", "severities"]

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Level of each severity relative to the middle one."""

MIDDLE = {
    "gaussian": "gaussian:sigma=46",  # 0.18 of [0, 1], as in ImageNet-C
    "correlated": "correlated:sigma=20",
    "speckle": "speckle:level=0.35",  # as in ImageNet-C
    "quantisation": "quantisation:step=64",  # two bits a channel
    "poisson": "poisson:gain=21",  # 12 photons for white, as in ImageNet-C
    "shot_read": "shot_read:gain=3,sigma=10",
    "camera": "camera:gain=1.2,sigma=1.5",  # a small sensor at high ISO
    "jpeg": "jpeg:quality=60",  # qualities 80, 70, 60, 40 and 20
    "salt_and_pepper": "salt_and_pepper:probability=0.09",  # as in ImageNet-C
    "eight_bit": "gaussian:sigma=46+eight_bit",  # has no level of its own: what it clips is what it costs
}
"""Specification of the third severity by the name of the noise; those not listed have their defaults there."""


def severities(middle: ImageNoise) -> tuple[ImageNoise, ...]:
    """Five severities of one noise, mildest first; the third is ``middle`` itself."""
    return tuple(middle.scaled(factor) for factor in FACTORS)


def corruptions(names: Iterable[str] | None = None) -> dict[str, tuple[ImageNoise, ...]]:
    """Five severities, mildest first, of each noise that ``names`` lists, or of every registered one.

    A noise without an entry in ``MIDDLE``, such as one just registered, has its defaults as the middle severity. The
    results are not clipped to [0, 1]; those of ImageNet-C are.

    Raises:
        UnknownNameError: no noise has that name.
    """
    chosen = NOISES if names is None else names
    return {name: severities(parse_noise(MIDDLE.get(name, name))) for name in chosen}
