"""Calls that the workers of a cluster make: in order, made again where one dies, with errors as they are here."""

from __future__ import annotations

import os
import signal

import pytest

from noisewise.data import map_on_ray
from noisewise.errors import ClusterError, UnreadableImageError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]


def test_results_come_in_the_order_of_the_items(cluster):
    with map_on_ray() as spread:
        assert list(spread(abs, range(-30, 0))) == list(range(30, 0, -1))
        assert list(spread(str, [])) == []
    assert cluster.is_initialized()  # it was there before


def test_a_call_is_made_again_where_its_worker_dies(tmp_path):
    def dies_once(item):
        mark = tmp_path / str(item)
        if item == 5 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item**2

    with map_on_ray() as spread:
        assert list(spread(dies_once, range(12))) == [item**2 for item in range(12)]
    assert (tmp_path / "5").exists()


def test_what_kills_every_worker_comes_to_an_end():
    with map_on_ray() as spread, pytest.raises(ClusterError, match="every worker"):
        list(spread(lambda item: os.kill(os.getpid(), signal.SIGKILL), [1]))


def test_an_error_of_a_call_is_that_error():
    def unreadable(item):
        raise UnreadableImageError("cannot read a.png: it is empty")

    with map_on_ray() as spread, pytest.raises(UnreadableImageError, match=r"^cannot read a.png: it is empty$"):
        list(spread(unreadable, range(5)))
