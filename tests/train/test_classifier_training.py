"""Training on labels: crops, batches of classes and of identities, losses, and resuming bit for bit."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from noisewise._rng import initialised, make_generator
from noisewise.errors import ArgumentError, CheckpointError, DatasetError
from noisewise.models.preprocess import Preprocess
from noisewise.train import Schedule
from noisewise.train.classifier import (
    LabelledPixels,
    ShuffledBatches,
    random_crops,
    random_crops_with_maps,
    train_on_labels,
)
from noisewise.train.embedding import IdentityBatches, IdentityLoss

SIDE, CLASSES = 8, 3
AS_IT_IS = Preprocess((0.0,), (1.0,), None, False, "a test")


def schedule(**changes):
    plan = {"steps": 6, "batch": 8, "patch": SIDE, "learning_rate": 1e-2, "warmup": 1, "decay": 0.5, "ema": 0.5}
    return Schedule(**plan | changes)


def tinted(count=30):
    """Noise around a colour that tells the class; every image has another first pixel."""
    labels = torch.arange(count) % CLASSES
    images = torch.randint(60, (count, 3, SIDE, SIDE), generator=make_generator(0), dtype=torch.uint8)
    images[torch.arange(count), labels] += 120
    return LabelledPixels(images, labels)


@pytest.fixture
def batches():
    return ShuffledBatches(tinted(), schedule(), AS_IT_IS, least_crop=0.5, seed=3)


def small_network():
    def build():
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), pool, nn.Linear(4, CLASSES))

    return initialised(build, seed=0)


def train(batches, checkpoint, *, criterion=None, weight_decay=0.05, **options):
    criterion = criterion or nn.CrossEntropyLoss(label_smoothing=0.1)
    return train_on_labels(
        small_network(), criterion, batches, checkpoint, weight_decay=weight_decay, save_every=2, **options
    )


def interrupt_after(step):
    def progress(done, loss):
        if done == step:
            raise KeyboardInterrupt

    return progress


def assert_same_network(first, second):
    assert_same_tensors(first.state_dict(), second.state_dict())


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def ramp(count, height=9, width=12):
    """Images whose channels are their own coordinates: row, column, and a constant."""
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([rows / height, columns / width, torch.ones(height, width)]).expand(count, -1, -1, -1)


def test_a_crop_is_a_rectangle_within_the_image_mirrored_half_the_time():
    crops = random_crops(ramp(400), 0.5, make_generator(0))
    inner = crops[:, :, 2:-2, 2:-2]  # the border repeats its last pixel
    down = inner[:, 0].diff(dim=1) * 9
    right = inner[:, 1].diff(dim=2) * 12
    for steps in (down, right.abs()):
        assert torch.allclose(steps, steps[:, :1, :1].expand_as(steps), atol=1e-4)
        assert 0.5 <= steps.min() < 0.55
        assert 0.95 < steps.max() <= 1.0001
    assert 150 < int((right[:, 0, 0] < 0).sum()) < 250
    assert torch.allclose(crops[:, 2], torch.ones(()))
    assert crops[:, :2].amin() >= 0
    assert crops[:, :2].amax() <= 1


def test_crops_reach_every_side_of_the_image():
    crops = random_crops(ramp(400), 0.5, make_generator(0))
    middles = crops[:, :2, 4].mean(dim=2)
    assert (middles.amin(dim=0) < 0.3).all()
    assert (middles.amax(dim=0) > 0.7).all()


def test_the_whole_image_is_left_as_it_is_or_mirrored():
    images = torch.rand(20, 3, 6, 7, generator=make_generator(0))
    for crop, image in zip(random_crops(images, 1.0, make_generator(1)), images, strict=True):
        assert torch.allclose(crop, image, atol=1e-5) or torch.allclose(crop, image.flip(-1), atol=1e-5)


def test_a_crop_shows_what_the_image_shows_there():
    def pattern(positions):
        return torch.sin(7 * positions[:, 0] - 4 * positions[:, 1])

    positions = ramp(5, 80, 60)
    images = pattern(positions)[:, None].expand(-1, 3, -1, -1)
    where = random_crops(positions, 0.3, make_generator(1))
    crops = random_crops(images, 0.3, make_generator(1))
    assert not torch.allclose(crops, images, atol=0.1)
    inner = slice(2, -2)
    assert torch.allclose(crops[:, 0, inner, inner], pattern(where)[:, inner, inner], atol=2e-3)


@pytest.mark.parametrize("kind", [ShuffledBatches, IdentityBatches])
def test_a_batch_depends_on_seed_and_step_alone(kind):
    one, same, other = (kind(tinted(), schedule(), AS_IT_IS, 0.5, seed) for seed in (3, 3, 4))
    state = torch.get_rng_state()
    in_order = [one[step] for step in range(3)]
    for step in (2, 0, 1):
        assert all(torch.equal(a, b) for a, b in zip(same[step], in_order[step], strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert len({batch.images.numpy().tobytes() for batch in (*in_order, other[0])}) == 4


def test_an_epoch_passes_over_the_images_once_and_the_next_in_another_order(batches):
    first, second = ([int(i) for step in range(*steps) for i in batches.choose(step)] for steps in ((0, 3), (3, 6)))
    assert len(set(first)) == len(first) == 24
    assert len(set(second)) == 24
    assert first != second


def test_images_keep_their_labels(batches):
    for step in range(3):
        images, labels = batches[step]
        assert torch.equal(images.mean(dim=(2, 3)).argmax(dim=1), labels)


def test_the_network_gets_preprocessed_floats(batches):
    plain = batches[0].images
    normalised = replace(batches, preprocess=Preprocess((0.5,), (0.25,), None, False, "a test"))[0].images
    assert plain.dtype == torch.float32
    assert 0 <= plain.min() < plain.max() <= 1
    assert torch.allclose(normalised, (plain - 0.5) / 0.25)


def test_a_data_set_smaller_than_a_batch_is_refused():
    with pytest.raises(DatasetError, match="one batch of 8 images, found 6"):
        ShuffledBatches(tinted(6), schedule(), AS_IT_IS, 0.5, seed=0)


@pytest.mark.parametrize("share", [0.0, 1.1, -0.5])
def test_a_crop_of_an_impossible_size_is_refused(share):
    with pytest.raises(ArgumentError, match="least_crop"):
        ShuffledBatches(tinted(), schedule(), AS_IT_IS, share, seed=0)


def test_a_batch_of_identities_has_several_images_of_each():
    labels = torch.tensor([0] * 9 + [1] * 5 + [2] * 4 + [3] * 2 + [4])
    pixels = LabelledPixels(torch.zeros(21, 3, 4, 4, dtype=torch.uint8), labels)
    batches = IdentityBatches(pixels, schedule(batch=12), AS_IT_IS, 1.0, seed=0)
    seen = set()
    for step in range(40):
        chosen = batches.choose(step)
        identities, counts = labels[chosen].unique(return_counts=True)
        assert counts.tolist() == [4, 4, 4]
        seen |= set(chosen.tolist())
        for identity in identities:
            own = int((labels == identity).sum())
            assert len(chosen[labels[chosen] == identity].unique()) == min(4, own)
    assert seen == set(range(21))


def test_it_learns_to_tell_colours_apart(tmp_path):
    pixels = tinted(90)
    batches = ShuffledBatches(pixels, schedule(steps=80, batch=16, ema=0.8), AS_IT_IS, 0.5, seed=0)
    losses = []
    network = train(batches, tmp_path / "run", progress=lambda step, loss: losses.append(loss))
    assert not network.training
    assert (network(pixels.images / 255).argmax(dim=1) == pixels.labels).float().mean() > 0.9
    assert losses[0] == pytest.approx(math.log(CLASSES), abs=0.6)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("step", [1, 2, 5])
def test_an_interrupted_run_ends_like_an_unbroken_one(batches, tmp_path, step):
    unbroken = train(batches, tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        train(batches, tmp_path / "broken", progress=interrupt_after(step))
    torch.rand(1)  # the global random state does not decide
    assert_same_network(train(batches, tmp_path / "broken"), unbroken)
    assert_same_tensors(load_file(tmp_path / "broken"), load_file(tmp_path / "unbroken"))


@pytest.mark.parametrize("call", [1, 2, 4])
def test_ctrl_c_in_the_middle_of_a_step_costs_that_step_alone(batches, tmp_path, monkeypatch, call):
    """The forward pass has changed the statistics of the batch normalisation by then."""
    unbroken, forward, calls = train(batches, tmp_path / "unbroken"), nn.CrossEntropyLoss.forward, []

    def interrupted(criterion, scores, labels):
        calls.append(scores)
        if len(calls) == call:
            raise KeyboardInterrupt
        return forward(criterion, scores, labels)

    monkeypatch.setattr(nn.CrossEntropyLoss, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(batches, tmp_path / "broken")
    resumed = train(batches, tmp_path / "broken")
    assert len(calls) == schedule().steps + 1
    assert_same_network(resumed, unbroken)
    assert_same_tensors(load_file(tmp_path / "broken"), load_file(tmp_path / "unbroken"))


def test_a_finished_run_can_be_prolonged(batches, tmp_path):
    train(batches, tmp_path / "run")
    seen = []
    longer = replace(batches, schedule=schedule(steps=8, learning_rate=2e-2))
    train(longer, tmp_path / "run", progress=lambda step, loss: seen.append(step))
    assert seen == [7, 8]


def test_a_network_laid_out_channels_last_is_trained_as_any_other(batches, tmp_path):
    networks = [small_network(), small_network().to(memory_format=torch.channels_last)]
    trained = [
        train_on_labels(network, nn.CrossEntropyLoss(), batches, tmp_path / str(index), weight_decay=0.05)
        for index, network in enumerate(networks)
    ]
    assert_same_network(*trained)


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"least_crop": 0.6}, {"data": tinted(31)}, {"schedule": schedule(batch=4)}]
)
def test_the_checkpoint_of_other_batches_is_refused(batches, tmp_path, change):
    train(batches, tmp_path / "run")
    with pytest.raises(CheckpointError, match="belongs to a run"):
        train(replace(batches, **change), tmp_path / "run")


@pytest.mark.parametrize(
    "change", [{"criterion": nn.CrossEntropyLoss()}, {"weight_decay": 0.1}], ids=["smoothing", "decay"]
)
def test_the_checkpoint_of_another_training_is_refused(batches, tmp_path, change):
    train(batches, tmp_path / "run")
    with pytest.raises(CheckpointError, match="belongs to a run"):
        train(batches, tmp_path / "run", **change)


def test_weights_decay_and_biases_and_norms_do_not(batches, tmp_path):
    """At a learning rate of zero gradient the weights shrink, and only they."""
    still = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * SIDE**2, CLASSES))
    initial = {name: tensor.clone() for name, tensor in still.named_parameters()}
    flat = type("Flat", (nn.Module,), {"forward": lambda self, outputs, labels: 0 * outputs.sum()})()
    one_step = replace(batches, schedule=schedule(steps=1, warmup=0, decay=0.0))
    train_on_labels(still, flat, one_step, tmp_path / "run", weight_decay=0.5)
    for name, tensor in still.named_parameters():
        factor = 1 - 1e-2 * 0.5 if tensor.ndim > 1 else 1
        assert torch.allclose(tensor, factor * initial[name], rtol=1e-6), name


def clusters(spread):
    """Two embeddings each of three identities."""
    centres = torch.eye(3).repeat_interleave(2, dim=0)
    noise = torch.randn(6, 3, generator=make_generator(0))
    return 5 * (centres + spread * noise), torch.arange(3).repeat_interleave(2)


def test_the_identity_loss_is_the_sum_of_both_of_its_equations():
    pytest.importorskip("pytorch_metric_learning")
    embeddings, labels = clusters(spread=0.8)
    loss = IdentityLoss(3, 3, margin=0.3, temperature=0.05)
    unit = F.normalize(embeddings)
    distances, same = torch.cdist(unit, unit), labels[:, None] == labels
    farthest = distances.masked_fill(~same, -1).amax(dim=1)
    nearest = distances.masked_fill(same, 9).amin(dim=1)
    hinges = (farthest - nearest + 0.3).clamp(min=0)
    proxies = F.normalize(next(loss.classes.parameters()), dim=0)
    expected = hinges[hinges > 0].mean() + F.cross_entropy(unit @ proxies / 0.05, labels)
    assert float(loss(embeddings, labels).detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_identities_that_are_apart_cost_less():
    pytest.importorskip("pytorch_metric_learning")
    loss = initialised(lambda: IdentityLoss(3, 3, margin=0.3, temperature=0.05), seed=0)
    next(loss.classes.parameters()).data.copy_(torch.eye(3))
    assert float(loss(*clusters(spread=0.0)).detach()) < 1e-3
    assert float(loss(*clusters(spread=0.8)).detach()) > 0.1


def test_the_parameters_of_the_loss_are_trained_and_resumed_too(tmp_path):
    pytest.importorskip("pytorch_metric_learning")
    batches = IdentityBatches(tinted(), schedule(), AS_IT_IS, 0.5, seed=0, per_identity=2)

    def criterion():
        return initialised(lambda: IdentityLoss(CLASSES, CLASSES, margin=0.3, temperature=0.05), seed=1)

    trained = criterion()
    unbroken = train(batches, tmp_path / "unbroken", criterion=trained)
    assert not torch.equal(next(trained.parameters()), next(criterion().parameters()))
    with pytest.raises(KeyboardInterrupt):
        train(batches, tmp_path / "broken", criterion=criterion(), progress=interrupt_after(3))
    assert_same_network(train(batches, tmp_path / "broken", criterion=criterion()), unbroken)
    assert_same_tensors(load_file(tmp_path / "broken"), load_file(tmp_path / "unbroken"))


def test_without_the_library_of_losses_the_error_names_the_extra(monkeypatch):
    for name in ("pytorch_metric_learning", "pytorch_metric_learning.losses"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ArgumentError, match=r"pip install 'noisewise\[reid\]'"):
        IdentityLoss(3, 3, margin=0.3, temperature=0.05)


def test_maps_are_cropped_with_their_images():
    """Every pixel of an image has the number of its class, so that it can be told from the crop."""
    maps = torch.randint(4, (6, 3, 4), generator=make_generator(0)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = maps[:, None].float().expand(-1, 3, -1, -1) / 4
    crops, cropped = random_crops_with_maps(images, maps, 0.5, make_generator(1))
    assert cropped.dtype == maps.dtype
    assert set(cropped.unique().tolist()) <= set(range(4))
    inside = (crops[:, 0] * 4 - (crops[:, 0] * 4).round()).abs() < 0.01  # where no two classes were interpolated
    assert inside.float().mean() > 0.6
    assert (cropped == (crops[:, 0] * 4).round())[inside].float().mean() > 0.99
    assert torch.equal(crops, random_crops(images, 0.5, make_generator(1)))


def test_a_segmenter_learns_from_maps(tmp_path):
    maps = torch.randint(2, (8, 2, 2), generator=make_generator(0)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = (maps[:, None] * 255).byte().expand(-1, 3, -1, -1).contiguous()
    schedule = Schedule(30, 8, 16, 0.05, warmup=1, decay=0.5, ema=0.5)
    batches = ShuffledBatches(
        LabelledPixels(images, maps), schedule, Preprocess((0.5,), (0.5,), None, False, ""), 0.9, 0
    )
    network = initialised(lambda: nn.Conv2d(3, 2, 1), 0)
    trained = train_on_labels(network, nn.CrossEntropyLoss(), batches, tmp_path / "checkpoint", weight_decay=0.0)
    with torch.no_grad():
        found = trained(images.float() / 127.5 - 1).argmax(1)
    assert (found == maps).float().mean() > 0.98
