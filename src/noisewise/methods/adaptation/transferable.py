"""The transferability adaption module of TVT: attention that prefers patches which look alike in both domains."""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from noisewise._rng import initialised
from noisewise.errors import SurgeryError
from noisewise.methods.adaptation.adversary import DomainDiscriminator

__all__ = ["TransferableAttention", "transferability", "transferable"]

Network = TypeVar("Network", bound=nn.Module)

_PARTS = ("qkv", "q_norm", "k_norm", "attn_drop", "norm", "proj", "proj_drop")


def transferability(logits: Float[Tensor, "*patches"]) -> Float[Tensor, "*patches"]:
    """Entropy in bits of a discriminator's verdict: 1 where it cannot tell the domains apart, 0 where it is sure.

    Source: TVT (Yang et al., WACV 2023).
    """
    logits = logits.float()
    p = logits.sigmoid()
    nats = p * F.softplus(-logits) + (1 - p) * F.softplus(logits)
    return nats / torch.log(logits.new_tensor(2.0))


class TransferableAttention(nn.Module):
    """The self-attention of a timm block whose attended patches are weighted by their transferability.

    A discriminator that all heads share judges the keys of the patches; what reads the image out pays less attention
    to patches that give their domain away. The class token does the reading where the classifier sees that alone,
    otherwise every token does, since what it sees is a mean of them. The published code lets the gradient of the
    weights through the reversal, too, which turns that of the classification loss round; here they are constants.

    With an undecided discriminator, as at the start, it is the attention that it was made from.

    Args:
        attention: of a timm vision transformer; its parts are shared, under their own names.
        prefix: number of tokens before those of the patches.
        readers: number of tokens, the first ones, whose attention is weighted; None for all.
    """

    qkv: nn.Module
    q_norm: nn.Module
    k_norm: nn.Module
    attn_drop: nn.Module
    norm: nn.Module
    proj: nn.Module
    proj_drop: nn.Module

    def __init__(self, attention: nn.Module, prefix: int, readers: int | None = None) -> None:
        super().__init__()
        self.num_heads = int(cast("Any", attention).num_heads)
        self.prefix, self.readers = prefix, readers
        for name in _PARTS:
            setattr(self, name, getattr(attention, name, nn.Identity()))
        size = cast("nn.Linear", self.qkv).out_features // 3 // self.num_heads
        self.discriminator = DomainDiscriminator(size, size)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Float[Tensor, "batch tokens width"]:
        """Tokens after attention; masks are not supported, as vision transformers use none.

        Raises:
            SurgeryError: a mask.
        """
        if attn_mask is not None or is_causal:
            raise SurgeryError("expected attention between all patches, got a mask; pass none")
        query, key, value = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = self.q_norm(query), self.k_norm(key)
        weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        mixed = self.attn_drop(self._preferring(weights, key)) @ value
        output: Tensor = self.proj_drop(self.proj(self.norm(mixed.transpose(1, 2).flatten(2))))
        return output

    def _preferring(self, weights: Tensor, key: Tensor) -> Tensor:
        judged = transferability(self.discriminator(key[:, :, self.prefix :]).detach())
        factors = F.pad(judged, (self.prefix, 0), value=1.0).unsqueeze(2)
        readers = weights.shape[2] if self.readers is None else self.readers
        return torch.cat([weights[:, :, :readers] * factors.to(weights), weights[:, :, readers:]], dim=2)


def transferable(model: Network, seed: int = 0) -> Network:
    """A copy of a timm vision transformer whose last attention is a :class:`TransferableAttention`.

    Its state dict has the keys of the original, and those of the discriminator of patches. A network that has one
    already is copied as it is.

    Args:
        model: a vision transformer of timm.
        seed: of the discriminator.

    Raises:
        SurgeryError: the network has no blocks with attention of timm's usual form.
    """
    changed: Any = copy.deepcopy(model)
    blocks: Any = getattr(changed, "blocks", None)
    attention: Any = getattr(blocks[-1], "attn", None) if isinstance(blocks, nn.Sequential) and len(blocks) else None
    if not isinstance(attention, TransferableAttention):
        _require_usual(model, attention)
        readers = 1 if changed.global_pool == "token" else None
        prefix = int(changed.num_prefix_tokens)
        blocks[-1].attn = initialised(lambda: TransferableAttention(attention, prefix, readers), seed)
    return cast("Network", changed)


def _require_usual(model: nn.Module, attention: Any) -> None:
    from timm.models.vision_transformer import Attention  # type: ignore[attr-defined]  # its name in all versions

    if not isinstance(attention, Attention) or getattr(attention, "gate", None) is not None:
        raise SurgeryError(
            f"{type(model).__name__} has no blocks with the attention of a vision transformer; "
            "choose one such as timm:vit_small_patch16_224 or timm:deit_tiny_patch16_224"
        )
