"""Noisy image in, clean image out: the one function that most users need."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.data.scale import AnyArray, Scale, working_scale
from noisewise.errors import ArgumentError
from noisewise.models import BlindDenoiser, load_denoiser
from noisewise.restore.coarse import choose_share, coarse_grain
from noisewise.restore.diagnose import Diagnosis, diagnose
from noisewise.restore.effort import NETWORK, Quality, check_choice, learnt, views
from noisewise.restore.level import choose_level
from noisewise.restore.pixels import as_arrays, like_input
from noisewise.restore.tiling import tiles

__all__ = ["Restored", "Sigma", "denoise", "shipped_denoiser"]

_CORE = 1024
_HALO = 64
_CROP = 192
_ROUNDED = 2 / 255
"""Noise level from which bfloat16 does, for its rounding is then small beside the noise."""

Image = AnyArray | Tensor

Diagnosed = Literal["diagnosed"]

Sigma = float | Diagnosed
"""A standard deviation of noise on the [0, 1] scale, or that of the image's diagnosis."""

TileProgress = Callable[[float], None]
"""Called after every tile with the share of the image that is done."""


@dataclass(frozen=True, eq=False)
class Restored:
    """The result of :func:`denoise`.

    Attributes:
        image: the clean estimate, of the kind, shape, type and range of the input.
        diagnoses: what was found in each image of the batch, before denoising.
        sigmas: mean standard deviation of the noise that the network was told or found, per image, [0, 1] scale.
        interrupted: whether Ctrl-C cut a learner short, whose best so far this is.
    """

    image: Image
    diagnoses: tuple[Diagnosis, ...]
    sigmas: tuple[float, ...]
    _noisy: Image
    interrupted: bool = False

    @property
    def diagnosis(self) -> Diagnosis:
        """The diagnosis of the only, or first, image."""
        return self.diagnoses[0]

    @property
    def sigma(self) -> float:
        """The level assumed for the only, or first, image, [0, 1] scale."""
        return self.sigmas[0]

    @property
    def residual(self) -> Image:
        """What was removed, ``noisy - clean``: float32 in the units of the input's pixels."""
        if isinstance(self._noisy, Tensor):
            return self._noisy.float() - torch.as_tensor(self.image).float()
        return self._noisy.astype(np.float32) - np.asarray(self.image, dtype=np.float32)


@cache
def shipped_denoiser() -> BlindDenoiser:
    """The network that ships with the package, loaded once."""
    model = load_denoiser()
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return, unused-ignore]


def denoise(
    image: Image,
    sigma: Sigma | None = None,
    strength: float | None = None,
    *,
    method: str = NETWORK,
    quality: Quality = "fast",
    model: nn.Module | None = None,
    progress: TileProgress = lambda share: None,
) -> Restored:
    """Remove the noise of a photograph.

    Args:
        image: NumPy ``H x W`` or ``H x W x C``, or torch ``C x H x W`` or ``B x C x H x W``, grey or RGB; uint8, uint16
            or floating.
        sigma: standard deviation of the noise on the [0, 1] scale (``25 / 255``); estimated at every place if None.
            ``"diagnosed"`` is the level of the diagnosis: better where the network takes noise for texture, as it does
            with smooth noise in grey images, and worse where the diagnosis takes texture for noise.
        strength: share of the estimated noise that is removed, 0 to 1; 1 if None.
        method: ``"network"``, or a learner of :data:`noisewise.methods.single_image.LEARNERS`, which learns from this
            image alone, for minutes.
        quality: of the network, ``"fast"`` takes two views; ``"balanced"`` and ``"best"`` take eight, and remove coarse
            grain, too, unless sigma is told or the noise is white. Of a learner it is a quarter, all, or four times of
            its steps.
        model: another :class:`noisewise.models.BlindDenoiser` than the shipped one, or where a learner shall start; it
            works on its own device, and a learner without one on that of the image.
        progress: called after every tile, or step of a learner, with the share of the image that is done.

    Returns:
        The clean estimate with its residual and diagnosis.

    Raises:
        ArgumentError: an image, sigma, strength, method, quality or model that cannot be used.
        WeightsError: the shipped weights are missing.
        TrainingError: a learner came to no finite estimate.
        KeyboardInterrupt: before there was anything worth keeping, or with images of the batch left.
    """
    _check_sigma(sigma)
    if strength is not None and not 0 <= strength <= 1:
        raise ArgumentError(f"expected strength between 0 and 1, got {strength}")
    check_choice(method, quality)
    network = shipped_denoiser() if model is None and method == NETWORK else model
    if method == NETWORK and not isinstance(network, BlindDenoiser):
        raise ArgumentError(f"expected a BlindDenoiser for the method {NETWORK!r}, got {type(network).__name__}")
    place = image.device if isinstance(image, Tensor) else torch.device("cpu")
    device = place if network is None else next(network.parameters()).device
    order = _Order(sigma, 1.0 if strength is None else float(strength), method, quality, network, device, progress)
    pending, results = as_arrays(image), []
    for array in pending:
        results.append(_learn_one(array, order) if method != NETWORK else _denoise_one(array, order))
        if results[-1].interrupted and len(results) < len(pending):
            raise KeyboardInterrupt  # the others have no result
    arrays, diagnoses, sigmas, interrupted = zip(*results, strict=True)
    return Restored(like_input(list(arrays), image), diagnoses, sigmas, image, interrupted[-1])


def _check_sigma(sigma: Sigma | None) -> None:
    if isinstance(sigma, str):
        if sigma not in get_args(Diagnosed):
            raise ArgumentError(f"expected sigma to be a number, None or 'diagnosed', got {sigma!r}")
    elif sigma is not None and not 0 <= sigma <= 1:
        raise ArgumentError(f"expected sigma between 0 and 1, got {sigma}; on the 0-255 scale write sigma=25 / 255")


class _Order(NamedTuple):
    """What is asked for, the same for every image of a batch."""

    sigma: Sigma | None
    strength: float
    method: str
    quality: Quality
    model: Any
    device: torch.device
    progress: TileProgress

    def told(self, diagnosis: Diagnosis) -> float | None:
        """The level of one image, unless it shall be estimated."""
        return diagnosis.noise_level if isinstance(self.sigma, str) else self.sigma


class _Result(NamedTuple):
    """Of one image."""

    pixels: AnyArray
    diagnosis: Diagnosis
    sigma: float
    interrupted: bool = False


def _learn_one(pixels: AnyArray, order: _Order) -> _Result:
    scale, diagnosis = working_scale(pixels), diagnose(pixels)
    sigma = order.told(diagnosis)
    noisy = torch.from_numpy(scale.to_unit(pixels)).movedim(-1, 0)[None].to(order.device)
    fitted = learnt(noisy, order.method, order.quality, sigma, order.model, order.progress)
    level = sigma if sigma is not None else float((noisy - fitted.image).std())
    clean = _from_network(torch.lerp(noisy, fitted.image, order.strength)[0], scale, pixels)
    return _Result(clean, diagnosis, level, fitted.interrupted)


def _denoise_one(pixels: AnyArray, order: _Order) -> _Result:
    scale, diagnosis, device = working_scale(pixels), diagnose(pixels), order.device
    centre = _to_network(_centre(pixels), scale, device)
    sigma = order.told(diagnosis)
    level = sigma if sigma is not None else _mean_level(order.model, centre)
    with _arithmetic(device, level):
        plan = _planned(order, centre, sigma, is_white=diagnosis.is_white)
        clean = np.empty_like(pixels)
        grid = list(tiles(pixels.shape[0], pixels.shape[1], _CORE, _HALO))
        levels = []
        for done, tile in enumerate(grid, start=1):
            noisy = _to_network(pixels[tile.read], scale, device)
            restored, told = _denoise_tile(order.model, noisy, plan)
            blended = torch.lerp(noisy, restored, order.strength)
            clean[tile.write] = _from_network(blended[0][:, *tile.keep], scale, pixels)
            levels.append(told)
            order.progress(done / len(grid))
    return _Result(clean, diagnosis, float(np.mean(levels)))


class _Plan(NamedTuple):
    """How the tiles of one image are denoised."""

    sigma: float | None
    factor: float
    """Of the network's own level, where no sigma is told."""
    views: int
    coarse: float
    """Share of the coarse grain that is taken away."""


def _planned(order: _Order, centre: Tensor, sigma: float | None, *, is_white: bool) -> _Plan:
    """What the centre of the image tells about all of it."""
    if sigma is not None or is_white:
        # on white noise the network's own estimate cannot be bettered, and rehearsals cost time
        return _Plan(sigma, 1.0, views(order.quality), 0.0)
    factor = choose_level(order.model, centre)
    coarse = 0.0 if order.quality == "fast" else choose_share(order.model, centre, factor)
    return _Plan(None, factor, views(order.quality), coarse)


def _arithmetic(device: torch.device, level: float) -> AbstractContextManager[object]:
    """Bfloat16 where the processor computes in it and the noise is well above its rounding."""
    capable: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not tell
    native = device.type == "cpu" and (capable.get("avx512_bf16") or capable.get("amx_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=bool(native and level >= _ROUNDED))


@torch.inference_mode()
def _mean_level(model: BlindDenoiser, noisy: Tensor) -> float:
    return float(model.estimate_noise_map(noisy).mean())


@torch.inference_mode()
def _denoise_tile(model: BlindDenoiser, noisy: Tensor, plan: _Plan) -> tuple[Tensor, float]:
    own = noisy.new_tensor(plan.sigma) if plan.sigma is not None else model.estimate_noise_map(noisy).float()
    told = own * plan.factor
    clean = model.restore(noisy, told, views=plan.views)
    if plan.coarse:
        clean = clean - plan.coarse * coarse_grain(model, noisy, clean, views=plan.views)
    return clean, float(told.mean())


def _centre(pixels: AnyArray) -> AnyArray:
    height, width = pixels.shape[:2]
    top, left = max(0, height - _CROP) // 2, max(0, width - _CROP) // 2
    return pixels[top : top + _CROP, left : left + _CROP]


def _to_network(pixels: AnyArray, scale: Scale, device: torch.device) -> Tensor:
    unit = torch.from_numpy(scale.to_unit(pixels)).movedim(-1, 0)[None]
    return unit.expand(-1, 3, -1, -1).to(device).contiguous(memory_format=torch.channels_last)


def _from_network(image: Tensor, scale: Scale, like: AnyArray) -> AnyArray:
    array: np.ndarray[Any, np.dtype[Any]] = image.movedim(0, -1).cpu().numpy()
    if like.shape[-1] == 1:
        array = array.mean(axis=-1, keepdims=True)
    return scale.from_unit(array, like.dtype)
