"""A change of weights in a file: applied, undone, and refused by every other network."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import save_file
from torch import nn

from noisewise.errors import PatchError
from noisewise.surgery import apply_patch, fingerprint, revert_patch, save_patch


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()


def changed(model):
    """Another weight, and a bias where there was none."""
    other = copy.deepcopy(model)
    other[0].weight.data += 1
    other[3].bias = nn.Parameter(torch.ones(2))
    return other


def states_equal(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "change.safetensors"


def test_a_patch_makes_of_the_first_network_the_second_and_back_bit_for_bit(file):
    model, original = network(), network()
    save_patch(file, model, changed(model))
    assert apply_patch(model, file) == ["3.bias"]
    assert states_equal(model, changed(original))
    revert_patch(model, file)
    assert states_equal(model, original)
    assert model[3].bias is None


def test_it_holds_nothing_but_the_change_and_the_notes(file):
    save_patch(file, network(), changed(network()), {"noise": "gaussian:sigma=20"})
    with safetensors.safe_open(file, "pt") as patch:
        assert set(patch.keys()) == {"old/0.weight", "new/0.weight", "new/3.bias"}
        assert patch.metadata()["noise"] == "gaussian:sigma=20"


def test_half_precision_comes_back_bit_for_bit(file):
    model = network().bfloat16()
    save_patch(file, model, changed(model))
    apply_patch(model, file)
    assert states_equal(model, changed(network().bfloat16()))


def test_a_shared_module_is_patched_under_all_its_names(file):
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, shared)
    other = copy.deepcopy(model)
    other[0].weight.data += 1
    save_patch(file, model, other)
    apply_patch(model, file)
    assert model[0] is model[1]
    assert states_equal(model, other)


def nudged(model):
    model[0].weight.data[0, 0, 0, 0] += 1e-6
    return model


def renormalised(model):
    model[1].running_mean += 1e-6
    return model


WRONG = {
    "another weight": nudged,
    "another buffer": renormalised,
    "another dtype": lambda model: model.double(),
    "another architecture": lambda model: model[:3],
    "patched already": changed,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_patch_on_the_wrong_network_is_an_error_and_changes_nothing(file, wrong):
    save_patch(file, network(), changed(network()))
    model = wrong(network())
    before = copy.deepcopy(model)
    with pytest.raises(PatchError, match=r"is not the network that .* is made for"):
        apply_patch(model, file)
    assert states_equal(model, before)


def test_undoing_what_was_not_done_is_an_error(file):
    save_patch(file, network(), changed(network()))
    with pytest.raises(PatchError, match=r"is not the network that .* is the result of"):
        revert_patch(network(), file)


def test_a_file_of_weights_is_no_patch(file):
    save_file({"0.weight": torch.ones(3)}, file)
    with pytest.raises(PatchError, match="holds weights but is no patch"):
        apply_patch(network(), file)


@pytest.mark.parametrize("content", [None, b"", b"not a patch"], ids=["missing", "empty", "text"])
def test_a_file_that_cannot_be_read_is_an_error(file, content):
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PatchError, match="cannot be read as a patch"):
        apply_patch(network(), file)


def test_a_network_that_lacks_something_is_no_change_of_the_first(file):
    with pytest.raises(PatchError, match=r"expected a network with the keys of the first, but 3\.weight is missing"):
        save_patch(file, network(), network()[:3])


def test_the_fingerprint_sees_values_names_and_dtypes_and_not_the_place_in_memory():
    model = network()
    assert fingerprint(model) == fingerprint(copy.deepcopy(model))
    strided = copy.deepcopy(model)
    strided[0].weight.data = model[0].weight.data.to(memory_format=torch.channels_last)
    assert fingerprint(strided) == fingerprint(model)
    others = [nudged(network()), network().double(), nn.Sequential(*network(), nn.Linear(2, 2))]
    assert len({fingerprint(other) for other in [model, *others]}) == 4
