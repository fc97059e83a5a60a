"""Image files in, normalised features out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise._rng import place_generator
from noisewise.contracts import Images, Noise
from noisewise.data.resized import load_stretched
from noisewise.errors import ArgumentError
from noisewise.tasks.comparable import Progress, ignored
from noisewise.tasks.noisy_batches import Preprocess

__all__ = ["embed"]


def embed(
    model: nn.Module,
    paths: Sequence[Path],
    *,
    size: tuple[int, int] | None = None,
    noise: Noise | None = None,
    seed: int = 0,
    preprocess: Preprocess | None = None,
    flip: bool = False,
    batch_size: int = 64,
    progress: Progress = ignored,
) -> Float[Tensor, "images features"]:
    """The L2-normalised features of image files.

    Each image by itself is read as RGB, brought to ``size``, corrupted and preprocessed, and only then joins a batch.

    Args:
        model: from images to features ``B x D``, in evaluation mode; it works on its own device and in its own dtype.
        paths: the files, at least one.
        size: height and width that images are stretched to, as is usual in re-identification; their own if None.
        noise: what corrupts the images, if anything; drawn for each from ``seed`` and its place in ``paths``, so that
            neither the batch size nor the device of the model matters, and all models see the same pixels.
        seed: of the noise.
        preprocess: from the pixels of one image to the input of the network; nothing if None.
        flip: average the features of an image and of its mirror image.
        batch_size: images that go through the network at once.
        progress: called after each batch with the number of images done.

    Returns:
        ``N x D`` float32 on the CPU, in the order of ``paths``.

    Raises:
        ArgumentError: no images, a batch size below 1, images of several sizes, a model in training mode, or features
            that are not a finite ``B x D``.
        UnreadableImageError: a file that is no image that can be read.
    """

    def network_input(index: int) -> Tensor:
        image = load_stretched(paths[index], size)
        noisy = image if noise is None else noise(image, generator=place_generator(seed, index))
        return noisy if preprocess is None else preprocess(noisy)

    _require(model, len(paths), batch_size)
    features = []
    for start in range(0, len(paths), batch_size):
        indices = range(start, min(start + batch_size, len(paths)))
        features.append(_features(model, _join([network_input(index) for index in indices]), flip))
        progress(indices.stop)
    return F.normalize(torch.cat(features))


def _require(model: nn.Module, images: int, batch_size: int) -> None:
    if any(module.training for module in model.modules()):
        raise ArgumentError("expected a network in evaluation mode, got one in training mode; call model.eval() first")
    if images < 1 or batch_size < 1:
        raise ArgumentError(f"expected images and a batch size of at least 1, got {images} and {batch_size}")


def _join(images: Sequence[Tensor]) -> Images:
    sizes = {tuple(image.shape[1:]) for image in images}
    if len(sizes) > 1:
        raise ArgumentError(f"expected images of one size, got {sorted(sizes)}; pass size=(height, width)")
    return torch.cat(tuple(images))


def _features(model: nn.Module, batch: Images, flip: bool) -> Float[Tensor, "batch features"]:
    like = next(model.parameters(), batch)
    views = [batch, batch.flip(-1)] if flip else [batch]
    with torch.inference_mode():
        features = torch.stack([_checked(model(view.to(like)), len(batch)) for view in views]).mean(0)
    return features.clone()  # what inference mode makes cannot be trained on


def _checked(features: object, images: int) -> Float[Tensor, "batch features"]:
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != images:
        came = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ArgumentError(
            f"expected features {images} x D from the network, got {came}; "
            "take off its classifier and pool (timm: num_classes=0)"
        )
    if not features.isfinite().all():
        raise ArgumentError("expected finite features, got NaN or infinity; check the network's weights and preprocess")
    return features.float().cpu()
