"""Noises written as text, for command lines and recipes.

Of images ``NAME[:FIELD=VALUE,...][+NAME...]``: ``gaussian:sigma=25``, ``poisson:gain=2+jpeg:quality=80``. A value
``LOW..HIGH`` is drawn anew for each image. Fields in units of pixel values (``sigma``, ``gain``, ``step``) are on the
0-255 scale.

Of features ``NAME[:FIELD=VALUE,...]``: ``circular:strength=0.3,axis=tokens``; ``sigma`` is on their own scale. A noise
over the batch has one more field, the ``groups`` of neighbours that it mixes: ``optimal:groups=8``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from typing import Any

from noisewise.errors import ArgumentError, UnknownNameError
from noisewise.noise.base import NOISES, ImageNoise
from noisewise.noise.compose import Chain, RandomLevels
from noisewise.noise.features import FEATURE_NOISES, FeatureNoise
from noisewise.noise.grouped import Grouped
from noisewise.noise.linear import LinearNoise

__all__ = ["parse_feature_noise", "parse_noise"]

_BETWEEN_PARTS = re.compile(r"(?<!\de)(?<!\dE)\+")  # not the plus of 1e+1
_GROUPS = next(field for field in dataclasses.fields(Grouped) if field.name == "groups")


def parse_noise(spec: str) -> ImageNoise:
    """The noise that ``spec`` describes.

    Raises:
        UnknownNameError: no noise or no field has that name.
        ArgumentError: a value is not a number, not a range, or not allowed.
    """
    parts = [_parse_one(part.strip()) for part in _BETWEEN_PARTS.split(spec)]
    return parts[0] if len(parts) == 1 else Chain(tuple(parts))


def parse_feature_noise(spec: str) -> FeatureNoise:
    """The feature noise that ``spec`` describes.

    Raises:
        UnknownNameError: no feature noise or no field has that name.
        ArgumentError: a value is not a number, or not allowed.
    """
    name, _, arguments = spec.partition(":")
    noise_type: Any = FEATURE_NOISES[name.strip()]
    fixed, ranges = _parse_arguments(noise_type, name, arguments)
    if ranges:
        raise ArgumentError(f"expected one number for {', '.join(ranges)} of the noise {name!r}, got a range")
    groups = fixed.pop(_GROUPS.name, None)
    noise: FeatureNoise = noise_type(**fixed)
    return noise if groups is None else _grouped(noise, groups)


def _grouped(noise: Any, groups: float) -> Grouped:
    if noise.axis != "batch":
        raise ArgumentError(f"expected axis=batch beside groups, got axis={noise.axis}; leave one of them out")
    if not groups.is_integer():
        raise ArgumentError(f"expected a whole number for groups, got {groups:g}")
    return Grouped(noise, int(groups))


def _parse_one(text: str) -> ImageNoise:
    name, _, arguments = text.partition(":")
    noise_type: Any = NOISES[name.strip()]
    fixed, ranges = _parse_arguments(noise_type, name, arguments)
    noise: ImageNoise = noise_type(**fixed)
    return RandomLevels(noise, ranges) if ranges else noise


def _parse_arguments(
    noise_type: Any, name: str, arguments: str
) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """The fields with one value, and those with a range."""
    fixed: dict[str, Any] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for assignment in filter(None, arguments.split(",")):
        field, value = _parse_assignment(noise_type, name, assignment)
        (ranges if isinstance(value, tuple) else fixed)[field] = value
    return fixed, ranges


def _parse_assignment(noise_type: Any, name: str, assignment: str) -> tuple[str, Any]:
    key, equals, text = (piece.strip() for piece in assignment.partition("="))
    fields = _fields(noise_type)
    if not equals:
        raise ArgumentError(
            f"expected FIELD=VALUE in the noise {name!r}, got {assignment!r}; its fields: {', '.join(fields)}"
        )
    if key not in fields:
        near = difflib.get_close_matches(key, fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"its fields: {', '.join(fields)}"
        raise UnknownNameError(f"the noise {name!r} has no field {key!r}; {hint}")
    return key, _parse_value(fields[key], text)


def _fields(noise_type: Any) -> dict[str, dataclasses.Field[Any]]:
    """The fields of the noise, and that of its groups where it may mix a batch."""
    shared = (_GROUPS,) if issubclass(noise_type, LinearNoise) else ()
    return {field.name: field for field in (*dataclasses.fields(noise_type), *shared)}


def _parse_value(field: dataclasses.Field[Any], text: str) -> Any:
    if isinstance(field.default, str):
        return text
    scale = 255.0 if field.metadata.get("per_255") else 1.0
    ends = text.split("..")
    try:
        numbers = [float(end) / scale for end in ends]
    except ValueError:
        raise ArgumentError(f"expected a number or LOW..HIGH for {field.name}, got {text!r}") from None
    if len(numbers) > 2 or not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"expected a finite number or LOW..HIGH for {field.name}, got {text!r}")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])
