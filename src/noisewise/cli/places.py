"""Where in a network noise goes, as several commands are told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from noisewise.noise import FeatureNoise

__all__ = ["Inject", "parse_place", "parse_places"]

_INJECT = (
    "Noise inside the network, repeatable. PLACE: last, first, the index of a block, a module's name or a pattern. "
    "NOISE: circular, optimal, gaussian or salt_and_pepper with fields, as in last=circular:strength=0.3; "
    "sigma is on the scale of the features, and groups=8 mixes within every eight neighbours of a batch alone."
)

Inject = Annotated[list[str] | None, typer.Option(metavar="PLACE=NOISE", help=_INJECT)]


def parse_place(text: str) -> str | int:
    """The index of a block as a number; what else names a place as it is."""
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else text


def parse_places(specs: list[str] | None) -> dict[str | int, FeatureNoise]:
    """Noise by place, from options such as ``last=circular:strength=0.3``.

    Raises:
        ArgumentError: another form, or a place that is named twice.
    """
    from noisewise.errors import ArgumentError
    from noisewise.noise import parse_feature_noise

    places: dict[str | int, FeatureNoise] = {}
    for spec in specs or []:
        name, equals, noise = spec.partition("=")
        place = parse_place(name)
        if not equals:
            raise ArgumentError(f"expected PLACE=NOISE such as last=circular:strength=0.3, got {spec!r}")
        if place in places:
            raise ArgumentError(f"expected every place once, got {name} again with {spec!r}; leave one out")
        places[place] = parse_feature_noise(noise)
    return places
