"""A cluster of Ray: the one that runs already, one at an address, or one that is started here for the while."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from noisewise.errors import ArgumentError, ClusterError, NoisewiseError

__all__ = ["TRIES_MORE", "cluster", "jobs_at_once", "map_on_ray"]

TRIES_MORE = 3
"""How often work is given to another worker; what kills each must come to an end."""

_AHEAD = 2
"""Jobs that are handed out for each processor, so that no worker waits for the next one."""

_PATIENCE = 10
"""Seconds for a cluster to answer."""

_QUIET: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def cluster(address: str | None = None, *, processors: int | None = None) -> Iterator[ModuleType]:
    """Ray, connected; the connection is closed at the end, unless there was one before.

    Args:
        address: of a running cluster, such as ``"auto"`` or ``"ray://head:10001"``; a local one is started if None.
        processors: of a local cluster, each of which has a worker; all if None.

    Raises:
        ArgumentError: Ray is not installed, or there is no cluster at that address.
    """
    ray = _library()
    if ray.is_initialized():
        yield ray
        return
    place = _host_and_port(address)
    try:
        if place is not None:
            socket.create_connection(place, timeout=_PATIENCE).close()  # Ray itself would ask for minutes
        if address is None:
            ray.init("local", num_cpus=processors, include_dashboard=False, **_QUIET)
        else:
            ray.init(address, **_QUIET)
    except (OSError, ValueError, RuntimeError) as reason:
        raise ArgumentError(
            f"there is no cluster at {address or 'this machine'} ({reason}); start one with: ray start --head"
        ) from reason
    try:
        yield ray
    finally:
        ray.shutdown()


def jobs_at_once(ray: ModuleType) -> int:
    """How many jobs to hand out before the first of them is done."""
    return _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))


@contextmanager
def map_on_ray(address: str | None = None) -> Iterator[Callable[[Callable[[T], R], Iterable[T]], Iterator[R]]]:
    """Within it, a ``map`` whose calls are made by the workers of a cluster; results come in the order of the items.

    A call whose worker dies is made again by another. Workers must have noisewise, and all that the function and the
    items name; files must lie under the same paths.

    Args:
        address: as for :func:`cluster`.

    Raises:
        ArgumentError: as for :func:`cluster`.
        ClusterError: an item ended every worker that was given it.
    """
    with cluster(address) as ray:
        yield partial(_map, ray)


def _map(ray: ModuleType, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    call, sent = ray.remote(max_retries=TRIES_MORE)(_call), ray.put(function)
    waiting, running, most = iter(items), list[Any](), jobs_at_once(ray)
    try:
        while True:
            running += [call.remote(sent, item) for item in islice(waiting, most - len(running))]
            if not running:
                return
            yield _result(ray, running[0])
            del running[0]
    finally:
        for one in running:
            ray.cancel(one)


def _call(function: Callable[[T], R], item: T) -> R:
    return function(item)


def _result(ray: ModuleType, one: Any) -> Any:
    try:
        return ray.get(one)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, NoisewiseError):
            raise error.cause from None
        if isinstance(error.cause, ray.exceptions.RayError):
            reason = next((line for line in str(error.cause).splitlines() if line), type(error.cause).__name__)
            raise ClusterError(
                f"workers cannot take up the work ({reason}); install there what is installed here"
            ) from error
        raise  # a defect of the work itself
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"a part of the work ended every worker that tried it ({type(error).__name__}), perhaps for want of "
            "memory; give the workers more of it, or have fewer of them on a machine"
        ) from error


def _host_and_port(address: str | None) -> tuple[str, int] | None:
    """Of an address that says them."""
    if address in (None, "auto"):
        return None
    place = urlsplit(address if "://" in address else f"//{address}")
    with suppress(ValueError):  # a port that is no number
        if place.hostname is not None and place.port is not None:
            return place.hostname, place.port
    raise ArgumentError(f"expected an address auto, HOST:PORT or ray://HOST:PORT, got {address!r}")


def _library() -> ModuleType:
    # Ray reads these when it is first imported: nothing is told to anyone, and under uv run, where each worker would
    # install all anew, they have the environment that is here
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError as error:
        raise ArgumentError("a cluster needs Ray; install it with: pip install 'noisewise[ray]'") from error
    return ray
