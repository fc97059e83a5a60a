"""Noise injected into a network at named places, while training, testing, or both; its weights are not touched."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from noisewise._rng import place_generator
from noisewise.contracts import NoiseOnFeatures
from noisewise.errors import ArgumentError, SurgeryError
from noisewise.surgery.places import prefix_tokens, resolve_place

__all__ = ["Injection", "When", "inject"]

When = Literal["train", "test", "both"]
"""In which mode of the network, as set by ``model.train()`` and ``model.eval()``, the noise is on."""


def inject(
    model: nn.Module,
    places: Mapping[str | int, NoiseOnFeatures],
    *,
    when: When = "train",
    seed: int = 0,
    keep_prefix: int | Literal["auto"] = "auto",
    allow_batch_mixing: bool = False,
) -> Injection:
    """Noise on the output of some modules: within a ``with`` statement, or until :meth:`Injection.remove`.

    The network's own class, weights and state dict stay as they are, so that it saves and loads as ever.

    >>> with inject(model, {"last": CircularShift(0.3)}):
    ...     train(model)

    Args:
        model: any network.
        places: noise by place: ``"last"``, ``"first"``, the index of a block, the name of a module, or a regular
            expression of names.
        when: in which mode of the network.
        seed: of the noise; pass number and place are hashed into it.
        keep_prefix: how many leading tokens of features ``B x N x C`` are spared; ``"auto"`` spares class tokens.
        allow_batch_mixing: a noise that mixes the samples of a batch may be on at test time. Figures measured so
            depend on how the batches are made up.

    Raises:
        ArgumentError: unknown ``when``, or mixing at test time without leave.
        SurgeryError: a place that does not exist, or is named twice.
    """
    if when not in get_args(When):
        raise ArgumentError(f"expected when to be one of {get_args(When)}, got {when!r}")
    resolved = _resolved(model, places)
    mixing = [name for name, noise in resolved.items() if noise.mixes_samples]
    if mixing and when != "train" and not allow_batch_mixing:
        raise ArgumentError(
            f"the noise at {mixing[0]} mixes the samples of a batch; at test time a prediction would depend on the "
            "other images. Use when='train', or allow_batch_mixing=True and audit what you measure"
        )
    spared = prefix_tokens(model) if keep_prefix == "auto" else keep_prefix
    return Injection(model, resolved, when=when, seed=seed, spared=spared)


class Injection:
    """Noise in place; made by :func:`inject`.

    With gradient checkpointing, run the backward pass of a batch before the next forward pass: what is recomputed gets
    the noise of the latest pass. A module that is called several times in one pass gets the same draw each time.

    Attributes:
        places: the noise by name of the module whose output it disturbs.
        when: in which mode of the network it is on.
    """

    def __init__(
        self, model: nn.Module, places: Mapping[str, NoiseOnFeatures], *, when: When, seed: int, spared: int
    ) -> None:
        self.places = dict(places)
        self.when = when
        self._model = model
        self._seed = seed
        self._spared = spared
        self._passes = -1
        self._handles: list[RemovableHandle] = [model.register_forward_pre_hook(self._count)]
        for index, (name, noise) in enumerate(self.places.items()):
            hook = _Hook(self, index, name, noise)
            self._handles.append(model.get_submodule(name).register_forward_hook(hook))

    def remove(self) -> None:
        """Take the noise out; the network is as it was before."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def is_on(self) -> bool:
        """Whether the network's present mode is one in which the noise acts."""
        return self.when in ("both", "train" if self._model.training else "test")

    def generator(self, index: int, device: torch.device) -> torch.Generator:
        """The source of randomness of a place in the present pass."""
        return place_generator(self._seed, max(0, self._passes), index, device=device)

    def disturb(self, noise: NoiseOnFeatures, features: Tensor, generator: torch.Generator) -> Tensor:
        """``noise`` on the features, but for the tokens that are spared."""
        if features.ndim != 3 or self._spared == 0:
            return noise(features, generator=generator)
        spared, rest = features[:, : self._spared], features[:, self._spared :]
        return torch.cat([spared, noise(rest, generator=generator)], dim=1)

    def _count(self, *_: object) -> None:
        self._passes += 1


class _Hook:
    """What PyTorch calls after the module at a place; an object and no closure, so that networks can be pickled."""

    def __init__(self, injection: Injection, index: int, name: str, noise: NoiseOnFeatures) -> None:
        self.injection, self.index, self.name, self.noise = injection, index, name, noise

    @torch.compiler.disable  # type: ignore[untyped-decorator] # generators cannot be traced
    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if not self.injection.is_on:
            return output
        features = output[0] if isinstance(output, tuple) else output
        if not isinstance(features, Tensor) or not features.is_floating_point() or not 2 <= features.ndim <= 4:
            raise SurgeryError(f"the output of {self.name} is no batch of features; choose another place")
        generator = self.injection.generator(self.index, features.device)
        noisy = self.injection.disturb(self.noise, features, generator)
        return (noisy, *output[1:]) if isinstance(output, tuple) else noisy


def _resolved(model: nn.Module, places: Mapping[str | int, NoiseOnFeatures]) -> dict[str, NoiseOnFeatures]:
    resolved: dict[str, NoiseOnFeatures] = {}
    for where, noise in places.items():
        for name in resolve_place(model, where):
            if name in resolved:
                raise SurgeryError(f"{name} is named twice among the places; chain the noises or name it once")
            resolved[name] = noise
    return resolved
