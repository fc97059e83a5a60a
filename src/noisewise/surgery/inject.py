"""Noise injected into a network at named places, while training, testing, or both; its weights are not touched."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from noisewise._rng import place_generator
from noisewise.contracts import NoiseOnFeatures
from noisewise.errors import ArgumentError, SurgeryError
from noisewise.surgery.places import prefix_tokens, resolve_place

if TYPE_CHECKING:
    from noisewise.surgery.hook import InjectionHook

__all__ = ["Injection", "When", "inject", "remove_injections"]

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

    The network's class, weights and state dict stay as they are, so that its state dict saves and loads as ever. A copy
    of the network takes the noise along; `remove_injections` cleans it. Call the network itself, not a part of it: its
    calls count the passes, and each pass has a draw of its own.

    The network may be compiled, before or after; hand over it or what ``torch.compile`` returned. Its graph breaks at
    every place, so that ``fullgraph=True`` fails while noise is in place. Compiled code does not notice noise that
    comes or goes; therefore both make everything that the process has compiled compile anew at its next call.

    >>> with inject(model, {"last": CircularShift(0.3)}):
    ...     train(model)

    Args:
        model: any network.
        places: noise by place: ``"last"``, ``"first"``, the index of a block, the name of a module, or a regular
            expression of names.
        when: in which mode of the network.
        seed: of the noise; the name of the place and the number of the pass are hashed into it. Passes in which the
            noise is on count, from 0, also when a training is resumed.
        keep_prefix: how many leading tokens of features ``B x N x C`` are spared; ``"auto"`` spares the class tokens
            that there are at each place. Of networks that add them half-way it knows ConViT, CaiT and XCiT; tell it
            where another does.
        allow_batch_mixing: a noise that mixes the samples of a batch may be on at test time. Figures measured so
            depend on how the batches are made up.

    Raises:
        ArgumentError: unknown ``when``, a negative prefix, or mixing at test time without leave.
        SurgeryError: a place that does not exist, or is named twice.
    """
    if when not in get_args(When):
        raise ArgumentError(f"expected when to be one of {get_args(When)}, got {when!r}")
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    resolved = _resolved(model, places)
    mixing = [name for name, noise in resolved.items() if noise.mixes_samples]
    if mixing and when != "train" and not allow_batch_mixing:
        raise ArgumentError(
            f"the noise at {mixing[0]} mixes the samples of a batch; at test time a prediction would depend on the "
            "other images. Use when='train', or allow_batch_mixing=True and audit what you measure"
        )
    if keep_prefix != "auto" and keep_prefix < 0:
        raise ArgumentError(f"expected keep_prefix >= 0 or 'auto', got {keep_prefix}")
    spared = {name: prefix_tokens(model, name) if keep_prefix == "auto" else keep_prefix for name in resolved}
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
        self,
        model: nn.Module,
        places: Mapping[str, NoiseOnFeatures],
        *,
        when: When,
        seed: int,
        spared: Mapping[str, int],
    ) -> None:
        self.places = dict(places)
        self.when = when
        self._model = model
        self._seed = seed
        self._spared = dict(spared)
        self._passes = -1
        self._handles: list[RemovableHandle] = [model.register_forward_pre_hook(self._count)]
        for name in self.places:
            self._handles.append(model.get_submodule(name).register_forward_hook(_hook(self, name)))
        torch.compiler.reset()

    def remove(self) -> None:
        """Take the noise out; the network is as it was before."""
        if self._handles:
            torch.compiler.reset()
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

    def seek(self, passes: int) -> None:
        """Let the next pass be number ``passes`` from 0, so that a resumed training draws what an unbroken one does."""
        self._passes = passes - 1

    def generator(self, name: str, device: torch.device) -> torch.Generator:
        """The source of randomness of a place in the present pass.

        Raises:
            SurgeryError: there was none.
        """
        if self._passes < 0:
            raise SurgeryError(f"{name} was called, but not the network that noise was injected into; call that")
        return place_generator(self._seed, self._passes, zlib.crc32(name.encode()), device=device)

    def disturb(self, name: str, features: Tensor) -> Tensor:
        """The features of a place with its noise, but for the tokens that are spared."""
        noise, generator = self.places[name], self.generator(name, features.device)
        count = self._spared[name] if features.ndim == 3 else 0
        if count == 0:
            return noise(features, generator=generator)
        spared, rest = features[:, :count], features[:, count:]
        return torch.cat([spared, noise(rest, generator=generator)], dim=1)

    def _count(self, *_: object) -> None:
        self._passes += self.is_on


def remove_injections(model: nn.Module) -> None:
    """Take all injected noise out of a network, such as a copy that was made while noise was in place."""
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if _is_injected(hook)]:
                del hooks[key]
    torch.compiler.reset()  # compiled code would go on with the noise


def _hook(injection: Injection, name: str) -> InjectionHook:
    from noisewise.surgery.hook import InjectionHook  # imports torch's compiler, which takes seconds

    return InjectionHook(injection, name)


def _is_injected(hook: object) -> bool:
    return any(isinstance(getattr(hook, owner, None), Injection) for owner in ("injection", "__self__"))


def _resolved(model: nn.Module, places: Mapping[str | int, NoiseOnFeatures]) -> dict[str, NoiseOnFeatures]:
    resolved: dict[str, NoiseOnFeatures] = {}
    for where, noise in places.items():
        for name in resolve_place(model, where):
            if name in resolved:
                raise SurgeryError(f"{name} is named twice among the places; name it once")
            resolved[name] = noise
    return resolved
