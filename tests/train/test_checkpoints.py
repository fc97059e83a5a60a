"""Checkpoints: what is saved comes back, what is damaged or another run's is refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from noisewise.errors import CheckpointError
from noisewise.train.checkpoint import Done, load_checkpoint, save_checkpoint


def fresh(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # torch's initialisers take no generator
        networks = {"model": nn.Linear(3, 2), "average": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))}
    return networks, torch.optim.AdamW(networks["model"].parameters(), lr=0.1)


def take_a_step(networks, optimizer):
    optimizer.zero_grad()
    networks["model"](torch.ones(4, 3)).square().sum().backward()
    optimizer.step()


@pytest.fixture
def saved(tmp_path):
    networks, optimizer = fresh(0)
    take_a_step(networks, optimizer)
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, Done(7), "this run", networks, optimizer)
    return path, networks, optimizer


def state(networks):
    return {f"{k}.{name}": tensor for k, network in networks.items() for name, tensor in network.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
        assert tensor.dtype == second[name].dtype, name


def test_networks_and_step_come_back_bit_for_bit(saved):
    path, networks, _ = saved
    others, optimizer = fresh(1)
    assert load_checkpoint(path, "this run", others, optimizer) == Done(7)
    assert_same(state(others), state(networks))


def test_the_optimiser_goes_on_where_it_was(saved):
    path, networks, optimizer = saved
    others, other_optimizer = fresh(1)
    load_checkpoint(path, "this run", others, other_optimizer)
    take_a_step(networks, optimizer)
    take_a_step(others, other_optimizer)
    assert_same(state(others), state(networks))


def test_the_rate_stays_that_of_the_new_optimiser(saved):
    others, _ = fresh(1)
    optimizer = torch.optim.AdamW(others["model"].parameters(), lr=0.5)
    load_checkpoint(saved[0], "this run", others, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_nothing_but_the_checkpoint_is_left_in_the_folder(saved):
    assert [path.name for path in saved[0].parent.iterdir()] == ["run.safetensors"]


def test_a_save_that_fails_leaves_the_last_checkpoint(saved, monkeypatch):
    path, networks, optimizer = saved
    before = path.read_bytes()

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(path, Done(8), "this run", networks, optimizer)
    assert path.read_bytes() == before


def test_another_run_is_refused_and_says_how_to_mend_it(saved):
    with pytest.raises(CheckpointError, match=r"run\.safetensors belongs to a run.*delete it"):
        load_checkpoint(saved[0], "another run", *fresh(1))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(saved, share):
    path = saved[0]
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path, "this run", *fresh(1))


def test_weights_that_are_no_checkpoint_are_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="belongs to a run"):
        load_checkpoint(path, "this run", *fresh(1))
