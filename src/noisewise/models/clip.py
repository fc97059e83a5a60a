"""A CLIP image encoder from the user's own folder, for distances between sets of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from noisewise.contracts import Images
from noisewise.errors import ArgumentError, WeightsError

__all__ = ["ClipEncoder", "load_clip"]


class ClipEncoder(nn.Module):
    """Images in [0, 1] of any size in, CLIP's embeddings out.

    Args:
        network: transformers' ``CLIPVisionModelWithProjection``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Any) -> None:
        super().__init__()
        from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        self.network = network
        self.register_buffer("mean", torch.tensor(OPENAI_CLIP_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(OPENAI_CLIP_STD).view(1, 3, 1, 1), persistent=False)

    @torch.inference_mode()
    def forward(self, images: Images) -> Float[Tensor, "batch features"]:
        """The embeddings of ``B x 3 x H x W``, squeezed to the network's square."""
        size = [self.network.config.image_size] * 2
        squares = F.interpolate(images.clamp(0, 1), size, mode="bicubic", antialias=True, align_corners=False)
        features: Tensor = self.network(pixel_values=(squares - self.mean) / self.std).image_embeds
        return features


def load_clip(folder: Path) -> ClipEncoder:
    """The image half of a CLIP model in transformers' layout, in eval mode on the CPU. Nothing is downloaded.

    Raises:
        ArgumentError: transformers is not installed.
        WeightsError: the folder holds no such model.
    """
    try:
        from transformers import CLIPVisionModelWithProjection
    except ImportError as error:
        raise ArgumentError("CLIP needs transformers: pip install 'noisewise[hf]'") from error
    try:
        found: Any = CLIPVisionModelWithProjection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        first_line = str(error).splitlines()[0]
        raise WeightsError(f"{folder} holds no CLIP model ({first_line}); fetch one with: hf download") from error
    network, loading = found
    if missing := sorted(loading["missing_keys"]):
        raise WeightsError(f"{folder} holds another network than CLIP: it lacks {missing[0]}; name CLIP's folder")
    return ClipEncoder(network.eval().requires_grad_(False))
