"""The user's image, NumPy or torch, integers or floats, as channel-last arrays, and back again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from noisewise.data.scale import AnyArray
from noisewise.errors import ArgumentError

__all__ = ["as_arrays", "like_input"]

_ARRAY_TYPES = (np.uint8, np.uint16, np.float16, np.float32, np.float64)
_TENSOR_TYPES = (torch.uint8, torch.uint16, torch.float16, torch.bfloat16, torch.float32, torch.float64)


def as_arrays(image: AnyArray | Tensor) -> list[AnyArray]:
    """The images of ``image`` as ``H x W x C`` arrays (views where possible), C being 1 or 3.

    Args:
        image: NumPy ``H x W`` or ``H x W x C``, or torch ``C x H x W`` or ``B x C x H x W``; uint8, uint16 or floating.

    Raises:
        ArgumentError: another kind, shape or type, or a value that is not finite.
    """
    arrays = _tensor_arrays(image) if isinstance(image, Tensor) else _numpy_arrays(image)
    if 0 in image.shape:
        raise ArgumentError(f"expected at least one pixel, got shape {tuple(image.shape)}; check how it was cropped")
    for array in arrays:
        _check(array)
    return arrays


def like_input(arrays: list[AnyArray], image: AnyArray | Tensor) -> AnyArray | Tensor:
    """The inverse of :func:`as_arrays`: ``arrays`` in the kind, shape, type and place of ``image``."""
    if not isinstance(image, Tensor):
        return arrays[0].reshape(image.shape)
    stacked = torch.stack([torch.from_numpy(array).movedim(-1, 0) for array in arrays])
    return stacked.reshape(image.shape).to(image.device, image.dtype)


def _numpy_arrays(image: AnyArray) -> list[AnyArray]:
    if not isinstance(image, np.ndarray):
        came = type(image).__name__
        raise ArgumentError(f"expected a NumPy array or a torch tensor, got {came}; convert it with numpy.asarray")
    if image.ndim not in (2, 3):
        raise ArgumentError(f"expected H x W or H x W x C, got shape {image.shape}; denoise the images one by one")
    return [image if image.ndim == 3 else image[..., None]]


def _tensor_arrays(image: Tensor) -> list[AnyArray]:
    if image.ndim not in (3, 4):
        raise ArgumentError(f"expected C x H x W or B x C x H x W, got shape {tuple(image.shape)}; add image[None]")
    if image.dtype not in _TENSOR_TYPES:
        raise _unknown_type(image.dtype)
    batch = image.detach().cpu()
    batch = batch.float() if batch.dtype in (torch.float16, torch.bfloat16) else batch
    return [item.movedim(0, -1).numpy() for item in (batch if batch.ndim == 4 else batch[None])]


def _check(array: AnyArray) -> None:
    if array.dtype not in _ARRAY_TYPES:
        raise _unknown_type(array.dtype)
    channels = array.shape[-1]
    if channels not in (1, 3):
        mend = (
            "drop the alpha channel" if channels == 4 else "they are the last axis in NumPy, and before H x W in torch"
        )
        raise ArgumentError(f"expected 1 or 3 channels, got {channels}; {mend}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise ArgumentError("expected finite pixels, got NaN or infinity; mend them with nan_to_num")


def _unknown_type(dtype: object) -> ArgumentError:
    return ArgumentError(f"expected uint8, uint16 or floating pixels, got {dtype}; convert the image to one of them")
