"""Every exception that noisewise raises on purpose.

The tree::

    NoisewiseError              catch this to catch them all
    ├── ArgumentError           a value that a function or command cannot use      (also a ValueError)
    │   └── UnknownNameError    a name that no registry holds; suggests the nearest (also a KeyError)
    ├── ImageFileError          a file that cannot be read as an image, or written
    │   ├── UnreadableImageError    truncated, empty, mislabelled, a bomb, not an image
    │   └── OutputError             exists already, read-only folder, full disk
    ├── DatasetError            a folder that does not have the expected layout
    ├── WeightsError            missing or mismatched network weights
    ├── CheckpointError         a training run that cannot be resumed
    ├── TrainingError           a training run that went wrong
    ├── ClusterError            workers that die of what they are given
    ├── LimitError              more than a server gives to one visitor
    └── SurgeryError            a network that cannot be operated on, or a change that does not hold
        └── PatchError              a file of changed weights that belongs to another network

A message says what was expected, what came, and how to mend it.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "CheckpointError",
    "ClusterError",
    "DatasetError",
    "ImageFileError",
    "LimitError",
    "NoisewiseError",
    "OutputError",
    "PatchError",
    "SurgeryError",
    "TrainingError",
    "UnknownNameError",
    "UnreadableImageError",
    "WeightsError",
]


class NoisewiseError(Exception):
    """Base of all errors that noisewise raises on purpose."""


class ArgumentError(NoisewiseError, ValueError):
    """A value that a function or a command cannot use."""


class UnknownNameError(ArgumentError, KeyError):
    """A name that no registry holds."""

    __str__ = Exception.__str__  # KeyError would print the message's repr


class ImageFileError(NoisewiseError):
    """A file that cannot be read as an image, or written."""


class UnreadableImageError(ImageFileError):
    """A truncated, empty or mislabelled file, a decompression bomb, or no image at all."""


class OutputError(ImageFileError):
    """An output that exists already, a read-only folder, a full disk."""


class DatasetError(NoisewiseError):
    """A folder that does not have the expected layout."""


class WeightsError(NoisewiseError):
    """Missing or mismatched network weights."""


class CheckpointError(NoisewiseError):
    """A training run that cannot be resumed."""


class TrainingError(NoisewiseError):
    """A training run that went wrong."""


class ClusterError(NoisewiseError):
    """Workers that die of what they are given."""


class LimitError(NoisewiseError):
    """More work, or more data, than a server gives to one visitor."""


class SurgeryError(NoisewiseError):
    """A network that cannot be operated on, or a change of its weights that does not hold."""


class PatchError(SurgeryError):
    """A file of changed weights that cannot be read or belongs to another network."""
