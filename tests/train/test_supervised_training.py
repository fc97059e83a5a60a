"""The training loop: it learns, and an interrupted run ends bit for bit like an unbroken one."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from noisewise._rng import make_generator
from noisewise.errors import CheckpointError, TrainingError
from noisewise.models import BlindDenoiser
from noisewise.noise import Gaussian
from noisewise.train import NoisyPatches, supervised, train_denoiser
from noisewise.train.supervised import denoising_loss, told_map

SAVE_EVERY = 2


def interrupt_after(step):
    def progress(done, loss):
        if done == step:
            raise KeyboardInterrupt

    return progress


def with_schedule(data, **changes):
    recipe = replace(data.recipe, schedule=replace(data.recipe.schedule, **changes))
    return NoisyPatches(data.patches, recipe, data.seed)


def train(data, checkpoint, **options):
    return train_denoiser(data.recipe, data, checkpoint, save_every=SAVE_EVERY, **options)


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def assert_same_network(first, second):
    assert_same_tensors(first.state_dict(), second.state_dict())


@pytest.fixture
def unbroken(data, tmp_path):
    return train(data, tmp_path / "unbroken.safetensors")


def test_progress_is_told_after_every_step(data, tmp_path):
    seen = []
    train(data, tmp_path / "run.safetensors", progress=lambda step, loss: seen.append((step, loss)))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert all(loss > 0 for _, loss in seen)


def test_the_result_is_ready_for_inference(unbroken):
    assert isinstance(unbroken, BlindDenoiser)
    assert not unbroken.training
    assert unbroken(torch.rand(1, 3, 9, 9)).image.isfinite().all()


@pytest.mark.parametrize("step", [1, 2, 5])
def test_an_interrupted_run_ends_like_an_unbroken_one(data, tmp_path, unbroken, step):
    checkpoint = tmp_path / "broken.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(data, checkpoint, progress=interrupt_after(step))
    assert checkpoint.is_file()
    assert_same_network(train(data, checkpoint), unbroken)
    assert_same_tensors(load_file(checkpoint), load_file(tmp_path / "unbroken.safetensors"))


def test_a_resumed_run_repeats_no_step(data, tmp_path):
    checkpoint, seen = tmp_path / "run.safetensors", []
    with pytest.raises(KeyboardInterrupt):
        train(data, checkpoint, progress=interrupt_after(5))
    train(data, checkpoint, progress=lambda step, loss: seen.append(step))
    assert seen == [6]


def test_a_finished_run_is_not_trained_again(data, tmp_path, unbroken):
    again = train(data, tmp_path / "unbroken.safetensors", progress=interrupt_after(1))
    assert_same_network(again, unbroken)


def test_a_finished_run_can_be_prolonged(data, tmp_path, unbroken):
    seen = []
    longer = with_schedule(data, steps=8)
    train(longer, tmp_path / "unbroken.safetensors", progress=lambda step, loss: seen.append(step))
    assert seen == [7, 8]


def test_the_global_random_state_does_not_decide(data, tmp_path, unbroken):
    torch.manual_seed(1234)
    assert_same_network(train(data, tmp_path / "run.safetensors"), unbroken)


def test_the_global_random_state_is_left_alone(data, tmp_path):
    state = torch.get_rng_state()
    train(data, tmp_path / "run.safetensors")
    assert torch.equal(torch.get_rng_state(), state)


def test_another_seed_gives_another_network(data, tmp_path, unbroken):
    other = train(NoisyPatches(data.patches, data.recipe, data.seed + 1), tmp_path / "other.safetensors")
    assert not torch.equal(other.unet.head.weight, unbroken.unet.head.weight)


def test_the_checkpoint_of_another_seed_is_refused(data, tmp_path, unbroken):
    other = NoisyPatches(data.patches, data.recipe, data.seed + 1)
    with pytest.raises(CheckpointError, match="another recipe, seed or photographs"):
        train(other, tmp_path / "unbroken.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"noise": Gaussian()},
        {"grey": 0.0},
        {"eight_bit": 1.0},
        {"model": {"widths": [8, 8], "blocks": [1, 1], "estimator_width": 4}},
    ],
)
def test_the_checkpoint_of_another_recipe_is_refused(data, tmp_path, unbroken, change):
    other = NoisyPatches(data.patches, replace(data.recipe, **change), data.seed)
    with pytest.raises(CheckpointError, match="another recipe, seed or photographs"):
        train(other, tmp_path / "unbroken.safetensors")


def test_a_damaged_checkpoint_is_refused(data, tmp_path, unbroken):
    checkpoint = tmp_path / "unbroken.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(data, checkpoint)


def test_the_loss_falls_on_noise_that_is_easy_to_remove(data, tmp_path):
    easy = replace(data.recipe, noise=Gaussian(0.2), eight_bit=0.0)
    plan = with_schedule(NoisyPatches(data.patches, easy, 0), steps=60, learning_rate=1e-2)
    losses = []
    train(plan, tmp_path / "run.safetensors", progress=lambda step, loss: losses.append(loss))
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(data, tmp_path):
    wild = with_schedule(data, learning_rate=1e30, warmup=0)
    checkpoint = tmp_path / "run.safetensors"
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train_denoiser(wild.recipe, wild, checkpoint, save_every=1000)
    assert not checkpoint.exists()


def spoilt(monkeypatch, spoils):
    """A loss that is NaN at the calls that ``spoils`` tells, counted from 0."""
    calls = itertools.count()

    def loss(model, batch, generator):
        found = denoising_loss(model, batch, generator)
        return found * float("nan") if spoils(next(calls)) else found

    monkeypatch.setattr(supervised, "denoising_loss", loss)


def test_a_run_steps_back_from_a_loss_that_is_not_finite(data, tmp_path, monkeypatch):
    checkpoint, seen = tmp_path / "run.safetensors", []
    spoilt(monkeypatch, lambda call: call == 3)
    with pytest.warns(UserWarning, match="the loss became nan at step 3; back to step 2, and on at half the rate"):
        found = train(data, checkpoint, progress=lambda step, loss: seen.append(step))
    assert seen == [1, 2, 3, 3, 4, 5, 6]
    assert all(tensor.isfinite().all() for tensor in found.state_dict().values())
    with safe_open(checkpoint, "pt") as file:
        assert file.metadata()["retreats"] == "1"


def test_a_run_that_cannot_be_saved_ends_with_its_last_good_state(data, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.safetensors"
    spoilt(monkeypatch, lambda call: call >= 3)
    with (
        pytest.warns(UserWarning, match="back to step 2"),
        pytest.raises(TrainingError, match="lower the learning rate"),
    ):
        train(data, checkpoint)
    with safe_open(checkpoint, "pt") as file:
        assert file.metadata()["step"] == "2"


def test_the_loss_of_a_new_network_is_that_of_the_noisy_image_and_of_its_map(data):
    batch = data[0]
    clean, noisy, level = batch.clean, batch.noisy, batch.level
    model = BlindDenoiser(**data.recipe.model)  # leaves the image as it is
    estimate = model.estimate_noise_map(noisy)
    image = ((noisy - clean).square() + 1e-6).sqrt().mean()
    ratio = ((estimate + 2 / 255) / (level + 2 / 255)).log().abs().mean()
    loss = denoising_loss(model, batch, make_generator(0))
    assert float(loss.detach()) == pytest.approx(float((image + 0.01 * ratio).detach()), rel=1e-5)


def test_a_told_map_is_the_true_one_or_flat_with_the_same_energy():
    level = torch.rand(4, 1, 5, 5, generator=make_generator(0)) + 0.1
    told = told_map(level, torch.tensor([False, True, True, False]).view(4, 1, 1, 1))
    assert torch.equal(told[[0, 3]], level[[0, 3]])
    assert torch.equal(told[1:3], told[1:3, :, :1, :1].expand_as(told[1:3]))
    assert torch.allclose(told.square().mean(dim=(1, 2, 3)), level.square().mean(dim=(1, 2, 3)))


def test_half_of_the_images_are_told_and_half_of_these_flat(data):
    batches = [data[step] for step in range(100)]
    told, flat = (torch.cat([getattr(batch, name) for batch in batches]).flatten() for name in ("told", "flat"))
    assert all(0.4 < float(one.float().mean()) < 0.6 for one in (told, flat, told == flat))


KILLED_RUN = """
import sys, time
from pathlib import Path
import torch
from noisewise.data.patches import PatchSampler
from noisewise.train import NoisyPatches, read_recipe, train_denoiser

def progress(step, loss):
    if step == 5:
        print("waiting to be killed", flush=True)
        time.sleep(600)

threads, recipe, checkpoint, *photographs = sys.argv[1:]
torch.set_num_threads(int(threads))
plan = read_recipe(recipe)
data = NoisyPatches(PatchSampler([Path(path) for path in photographs], plan.schedule.patch), plan, seed=5)
train_denoiser(plan, data, Path(checkpoint), save_every=2, progress=progress)
"""


@pytest.mark.slow
def test_a_killed_process_is_resumed_and_ends_like_an_unbroken_one(data, photographs, recipe_file, tmp_path, unbroken):
    checkpoint = tmp_path / "killed.safetensors"
    arguments = [torch.get_num_threads(), recipe_file, checkpoint, *photographs]
    with subprocess.Popen([sys.executable, "-c", KILLED_RUN, *map(str, arguments)], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"waiting to be killed\n"
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert_same_network(train(data, checkpoint), unbroken)


def test_a_checkpoint_beyond_the_last_step_is_refused(data, tmp_path):
    train(data, tmp_path / "run.safetensors")
    with pytest.raises(CheckpointError, match=r"at step 6, beyond 4"):
        train(with_schedule(data, steps=4), tmp_path / "run.safetensors")


def test_a_checkpoint_of_other_photographs_is_refused(data, tmp_path):
    train(data, tmp_path / "run.safetensors")
    data.patches.names = ["other.png"]
    with pytest.raises(CheckpointError, match=r"another recipe, seed or photographs"):
        train(data, tmp_path / "run.safetensors")
