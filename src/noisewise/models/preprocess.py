"""From pixels in [0, 1] to the input of a network, as the library that the network comes from says."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.errors import ArgumentError

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

__all__ = ["Preprocess", "network_input", "resolve_preprocess"]

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_IMAGENET_SIDE = 224


@dataclass(frozen=True)
class Preprocess:
    """Resizes images where the network takes one size only, then normalises them; callable and differentiable.

    Attributes:
        mean: subtracted from each channel, [0, 1] scale; a single value stands for all channels.
        std: what each channel is then divided by.
        size: height and width that the network was made for, None if unknown.
        fixed: whether the network takes that size only; before one that takes others, images keep theirs.
        source: where these values come from, in words for the user.
        channels: that the network takes, None if unknown.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int] | None
    fixed: bool
    source: str
    channels: int | None = None

    def __call__(self, images: Images) -> Float[Tensor, "batch channels input_height input_width"]:
        """The network's input.

        Resizing also averages noise away: where noise matters, load the images at ``size`` before adding it.

        Args:
            images: ``B x C x H x W`` in [0, 1], or beyond where noise went.

        Raises:
            ArgumentError: the images have other channels than the network.
        """
        wanted = self.channels or (len(self.mean) if len(self.mean) > 1 else images.shape[1])
        if images.shape[1] != wanted:
            mend = (
                "take its mean(1, keepdim=True)" if wanted == 1 else "repeat a grey channel with expand(-1, 3, -1, -1)"
            )
            raise ArgumentError(f"expected images with {wanted} channels, got {images.shape[1]}; {mend}")
        if self.fixed and images.shape[-2:] != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std


def resolve_preprocess(model: nn.Module, weights: WeightsEnum | None = None) -> Preprocess:
    """What ``model`` wants done to its images, found through the library that its class comes from.

    For a network of one's own this is the identity, and ``source`` says so.

    Args:
        model: a network of timm, torchvision, transformers, a subclass of one, or any other.
        weights: torchvision's entry for what the network holds, such as ``ResNet50_Weights.IMAGENET1K_V2``; tells the
            size, which its networks do not know themselves.

    Raises:
        ArgumentError: a transformers network that wants BGR.
    """
    if weights is not None:
        return _of_torchvision(model, weights)
    while isinstance(inner := getattr(model, "_orig_mod", getattr(model, "module", None)), nn.Module):
        model = inner  # compiled, or spread over devices
    for ancestor in type(model).__mro__:
        resolve = _RESOLVERS.get(ancestor.__module__.partition(".")[0])
        if resolve is not None:
            return resolve(model)
    return Preprocess(
        (0.0,), (1.0,), None, False, f"none: {type(model).__name__} is of no known library and gets pixels in [0, 1]"
    )


def network_input(
    model: nn.Module, pixels: Images, preprocess: Callable[[Tensor], Tensor] | None
) -> Float[Tensor, "batch ..."]:
    """Pixels in [0, 1] on the device of a network, preprocessed if asked for, in its precision."""
    place = next((one for one in model.parameters() if one.is_floating_point()), pixels)
    inputs = pixels.to(place.device)
    return (inputs if preprocess is None else preprocess(inputs)).to(place.dtype)


def _of_timm(model: Any) -> Preprocess:
    from timm.data.config import resolve_model_data_config

    config = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    embedding = getattr(model, "patch_embed", None)
    size = getattr(embedding, "img_size", None) or config["input_size"][-2:]
    fixed = getattr(embedding, "strict_img_size", getattr(model, "pretrained_cfg", {}).get("fixed_input_size", False))
    mean, std = tuple(config["mean"]), tuple(config["std"])
    if _input_channels(model) == 1:  # timm's config does not follow in_chans
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return Preprocess(mean, std, tuple(size), bool(fixed), "timm's data config", _input_channels(model))


def _input_channels(model: nn.Module) -> int | None:
    first = next((part for part in model.modules() if isinstance(part, nn.Conv2d)), None)
    return None if first is None else first.in_channels


def _of_torchvision(model: Any, weights: WeightsEnum | None = None) -> Preprocess:
    if type(getattr(model, "transform", None)).__name__ == "GeneralizedRCNNTransform":
        return Preprocess(
            (0.0,), (1.0,), None, False, "none: torchvision's detectors resize and normalise by themselves"
        )
    mean, std, side = _IMAGENET_MEAN, _IMAGENET_STD, _IMAGENET_SIDE
    source = "a guess: what most networks of torchvision take, ImageNet's mean and deviation"
    if weights is not None:
        transforms = weights.transforms()
        mean, std, (side,) = tuple(transforms.mean), tuple(transforms.std), transforms.crop_size
        source = f"the transforms of {weights}"
    own_side = getattr(model, "image_size", None)  # only its vision transformers have one, and take no other
    return Preprocess(mean, std, _pair(own_side or side), own_side is not None, source)


def _of_transformers(model: Any) -> Preprocess:
    size = _pair(getattr(model.config, "image_size", None))
    # Networks with absolute positions keep the size beside them; the others name one in their config only.
    fixed = size is not None and any(hasattr(part, "image_size") for part in model.modules())
    mean: Sequence[float] = (0.5,)
    std: Sequence[float] = (0.5,)
    source = "mean and deviation 0.5, as no preprocessor_config.json was found"
    if (processor := _image_processor(model.name_or_path)) is not None:
        source = f"the image processor in {model.name_or_path}"
        mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ((0.0,), (1.0,))
        if getattr(processor, "include_top", False):  # EfficientNet's divides by the deviation once more
            std = [value**2 for value in std]
    return Preprocess(tuple(mean), tuple(std), size, fixed, source)


def _image_processor(name: str) -> Any:
    """Of a folder or a cached repository, or None."""
    # By importlib, as an optional library has no types where it is not installed.
    auto = importlib.import_module("transformers").AutoImageProcessor
    try:
        processor = auto.from_pretrained(name, local_files_only=True) if name else None
    except (OSError, ValueError):
        return None
    if getattr(processor, "do_flip_channel_order", False):
        raise ArgumentError(f"expected a network of RGB images, {name} wants BGR; pass a preprocess of your own")
    return processor


def _pair(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


_RESOLVERS = {"timm": _of_timm, "torchvision": _of_torchvision, "transformers": _of_transformers}
