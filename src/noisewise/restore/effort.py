"""What is done beyond the network alone: more views, or a learner that has the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from torch import Tensor, nn

from noisewise.errors import ArgumentError, UnknownNameError
from noisewise.models import load_denoiser

if TYPE_CHECKING:
    from noisewise.methods.single_image import Fitted

__all__ = ["NETWORK", "Quality", "check_choice", "learnt", "load_start", "views"]

Quality = Literal["fast", "balanced", "best"]
NETWORK = "network"
"""The method that is no learner."""
_TUNING = "gain_tuning"
"""The learner that starts from a denoiser, and takes grey images itself."""

_VIEWS = {"fast": 2, "balanced": 8, "best": 8}
_EFFORT = {"fast": 0.25, "balanced": 1.0, "best": 4.0}
"""Of a learner's own number of steps."""
_MOST_PIXELS = 2**21


def check_choice(method: str, quality: str) -> Quality:
    """The quality, if both are offered.

    Raises:
        UnknownNameError: no such method.
        ArgumentError: no such quality.
    """
    if method != NETWORK:
        _learner(method)
    if quality not in get_args(Quality):
        raise ArgumentError(f"expected a quality from {', '.join(get_args(Quality))}, got {quality!r}")
    return cast("Quality", quality)


def load_start(method: str, path: Path) -> nn.Module:
    """Weights from a file of the kind that ``method`` works with, or starts from.

    Raises:
        UnknownNameError: no such method.
        ArgumentError: one that starts from no weights.
        WeightsError: the file is missing, or holds no such network.
    """
    if method in (NETWORK, _TUNING):
        return load_denoiser(path)
    from noisewise.methods.nvt import load_pretrained
    from noisewise.methods.single_image import ZeroShotNoise2Noise

    if isinstance(_learner(method), ZeroShotNoise2Noise):
        raise ArgumentError(
            f"{method} learns the noise, not the image, and starts from no weights; leave --weights out"
        )
    return load_pretrained(path)


def views(quality: Quality) -> int:
    """Turned and mirrored views to take the mean of. The error of a mean is at most the mean of the errors."""
    return _VIEWS[quality]


def learnt(
    noisy: Tensor,
    method: str,
    quality: Quality,
    sigma: float | None,
    start: nn.Module | None,
    progress: Callable[[float], None],
) -> Fitted:
    """What a learner makes of one image ``1 x C x H x W`` from ``start``, or from where it starts by itself.

    Raises:
        ArgumentError: the image has too many pixels to learn from in bearable time, or too few.
        TrainingError: no estimate was finite.
        KeyboardInterrupt: it was cut short before it had anything worth keeping.
    """
    from noisewise.methods.single_image import Budget, OnGrey, fit_image

    height, width = noisy.shape[-2:]
    if height * width > _MOST_PIXELS:
        raise ArgumentError(
            f"expected at most {_MOST_PIXELS / 1e6:.1f} million pixels for the method {method!r}, got {width} x "
            f"{height}; crop the image, or take the method {NETWORK!r}"
        )
    learner = _told(_learner(method), sigma, noisy.shape[1])
    budget = Budget(round(_EFFORT[quality] * learner.steps))
    if start is not None and method != _TUNING and noisy.shape[1] == 1:
        learner.require(start)
        start = OnGrey(start)
    fitted = fit_image(learner, noisy, network=start, budget=budget, progress=progress)
    if fitted.interrupted and not fitted.is_worth_keeping:
        raise KeyboardInterrupt
    return fitted


def _told(learner: Any, sigma: float | None, channels: int) -> Any:
    """The learner with the level that the user knows, if it can use it."""
    from noisewise.methods.single_image import GainTuning, NoiseModel, Noisier2Noise

    if not sigma:
        return learner
    if isinstance(learner, GainTuning):
        return replace(learner, noise=NoiseModel.white(sigma, channels))
    return replace(learner, sigma=sigma) if isinstance(learner, Noisier2Noise) else learner


def _learner(method: str) -> Any:
    from noisewise.methods.single_image import LEARNERS  # brings the training loop with it, which few need here

    if method not in LEARNERS:
        raise UnknownNameError(f"expected a method from {', '.join((NETWORK, *LEARNERS))}, got {method!r}")
    return LEARNERS[method]()
