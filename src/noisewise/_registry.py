"""A mapping from names to things that suggests the nearest name when asked for one it does not hold."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from noisewise.errors import ArgumentError, UnknownNameError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Names to things, in the order of registration.

    Args:
        kind: what the things are called in error messages, such as ``"noise"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds a thing under ``name``.

        Raises:
            ArgumentError: the name is taken.
        """

        def add(thing: T) -> T:
            if name in self._things:
                raise ArgumentError(f"the {self.kind} name {name!r} is taken by {self._things[name]!r}; choose another")
            self._things[name] = thing
            return thing

        return add

    def __getitem__(self, name: str) -> T:
        """The thing called ``name``.

        Raises:
            UnknownNameError: nothing is; the message suggests the nearest name.
        """
        try:
            return self._things[name]
        except KeyError:
            raise UnknownNameError(self._missing(name)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def _missing(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._things, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(sorted(self._things))}"
        return f"there is no {self.kind} called {name!r}; {hint}"
