"""What DenoiseRep claims to be exact: the fusion of its branches, and its closed form beside gradient descent."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from noisewise._rng import initialised
from noisewise.methods.denoiserep import attach
from noisewise.methods.denoiserep.handle import Handle
from noisewise.models.backbones import logits

__all__ = ["architectures", "descent_gap", "fusion_errors"]

_T = 300
_FORMS: tuple[dict[str, Any], ...] = ({"t": _T}, {"t": _T, "side": "output"}, {"mode": "wiener", "t": _T})


def architectures(side: int, names: Sequence[str]) -> dict[str, nn.Module]:
    """Networks of timm with random weights, none of which is zero."""
    return {name: _random_network(name, side) for name in names}


def _random_network(name: str, side: int) -> nn.Module:
    size = {"img_size": side} if timm.get_pretrained_cfg(name).fixed_input_size else {}
    generator = torch.Generator().manual_seed(0)
    network = initialised(lambda: timm.create_model(name, num_classes=10, **size), 0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


@torch.no_grad()
def fusion_errors(networks: Mapping[str, nn.Module], images: Tensor) -> dict[str, Any]:
    """Greatest difference of branched and fused outputs relative to the greatest output, over modes and sides.

    Args:
        networks: left as they are.
        images: as the networks take them, of a size that suits all.
    """
    errors: dict[str, dict[str, float]] = {}
    same = True
    for name, network in networks.items():
        errors[name] = {}
        for label, dtype in (("fp64", torch.float64), ("fp32", torch.float32)):
            inputs = images.to(dtype)
            handles = list(_handles(copy.deepcopy(network).to(dtype), inputs))
            errors[name][label] = max(_fusion_error(handle, inputs) for handle in handles)
            same = same and all(_fuses_alike_twice(handle) for handle in handles)
    worst = {f"max_rel_err_{label}": max(of[label] for of in errors.values()) for label in ("fp64", "fp32")}
    return worst | {"fused_twice_is_identical": same, "networks": errors}


def _handles(network: nn.Module, inputs: Tensor) -> Iterator[Handle]:
    return (attach(network, schedule="ddpm", **form).fit([inputs]) for form in _FORMS)


def _fusion_error(handle: Handle, inputs: Tensor) -> float:
    branched, fused = logits(handle(inputs)), logits(handle.fuse()(inputs))
    return float((branched - fused).abs().max() / branched.abs().max())


def _fuses_alike_twice(handle: Handle) -> bool:
    first, second = handle.fuse().state_dict(), handle.fuse().state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def descent_gap(network: nn.Module, batches: Sequence[Tensor], epochs: int) -> dict[str, Any]:
    """How much higher than the closed form's the loss of Algorithm 1 ends, layer by layer."""
    result = attach(network, schedule="ddpm", t=_T).fit_sgd(batches, epochs=epochs, seed=0)
    excess = {name: result.losses[name] - result.optima[name] for name in result.losses}
    return {
        "t": _T,
        "epochs": epochs,
        "greatest": max(excess.values()),
        "least": min(excess.values()),
        "layers": excess,
    }
