"""The tree of errors, the registry that suggests the nearest name, and explicit randomness."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import noisewise
from noisewise import errors
from noisewise._registry import Registry
from noisewise._rng import child_generator, make_generator
from noisewise.errors import ArgumentError, NoisewiseError, UnknownNameError


@pytest.fixture
def colours() -> Registry[int]:
    registry: Registry[int] = Registry("colour")
    for value, name in enumerate(("red", "green", "blue")):
        registry.register(name)(value)
    return registry


def test_every_error_is_one_of_noisewise():
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), NoisewiseError)


@pytest.mark.parametrize(
    ("error", "builtin"), [(ArgumentError, ValueError), (UnknownNameError, ValueError), (UnknownNameError, KeyError)]
)
def test_errors_are_caught_as_their_builtin_kin(error, builtin):
    with pytest.raises(builtin):
        raise error("what was expected")


def test_an_unknown_name_prints_its_message_without_quotes():
    assert str(UnknownNameError("there is no 'x'")) == "there is no 'x'"


def test_a_registry_is_a_mapping_in_order_of_registration(colours):
    assert dict(colours) == {"red": 0, "green": 1, "blue": 2}
    assert list(colours) == ["red", "green", "blue"]
    assert ("red" in colours, "rde" in colours, colours.get("rde")) == (True, False, None)


def test_registering_returns_the_thing_itself():
    class Thing:
        pass

    assert Registry("thing").register("a")(Thing) is Thing


def test_a_taken_name_is_refused_and_the_first_thing_stays(colours):
    with pytest.raises(ArgumentError, match="colour name 'red' is taken by 0; choose another"):
        colours.register("red")(9)
    assert colours["red"] == 0


def test_an_unknown_name_suggests_the_nearest(colours):
    with pytest.raises(UnknownNameError, match=r"there is no colour called .gren.; did you mean .green."):
        colours["gren"]


def test_an_unknown_name_far_from_all_lists_them_sorted(colours):
    with pytest.raises(UnknownNameError, match="choose one of blue, green, red"):
        colours["xyzzy"]


@given(st.integers(0, 2**63 - 1))
def test_a_seed_decides_the_stream_and_leaves_the_global_one_alone(seed):
    state = torch.get_rng_state()
    first, second = (torch.rand(3, generator=make_generator(seed)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_child_leaves_its_siblings_as_they_are_however_much_it_draws():
    def second_child(appetite):
        parent = make_generator(0)
        torch.rand(appetite, generator=child_generator(parent))
        return torch.rand(3, generator=child_generator(parent))

    assert torch.equal(second_child(1), second_child(1000))


def test_children_differ_from_each_other_and_from_their_parent():
    parent = make_generator(0)
    streams = [torch.rand(3, generator=g) for g in (child_generator(parent), child_generator(parent), parent)]
    assert len({tuple(stream.tolist()) for stream in streams}) == 3


MODULES = sorted(
    module.name for module in pkgutil.walk_packages(noisewise.__path__, "noisewise.") if "__main__" not in module.name
)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists_once(name):
    module = importlib.import_module(name)
    public = getattr(module, "__all__", [])
    assert [entry for entry in public if not hasattr(module, entry)] == []
    assert len(set(public)) == len(public)


@pytest.mark.slow
def test_importing_the_package_loads_no_slow_library():
    slow = ["scipy", "torchmetrics", "imagecodecs", "tifffile", "jinja2", "accelerate", "rich", "typer"]
    program = f"import sys, noisewise, noisewise.noise; print([name for name in {slow} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
