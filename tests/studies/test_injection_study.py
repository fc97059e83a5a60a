"""Noise inside a network as a study: every state is what doing it by hand gives, and the verdict is the audit's."""

from __future__ import annotations

from contextlib import contextmanager, suppress

import pytest
import torch
from torch import nn

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError, UnknownNameError
from noisewise.models.preprocess import resolve_preprocess
from noisewise.noise import OptimalQ
from noisewise.studies import InjectionStudy, grid_points, sweep
from noisewise.surgery import inject
from noisewise.train import Schedule
from noisewise.train.classifier import LabelledPixels

POINT = {"noise": "optimal", "strength": 1.0, "layer": "features", "when": "test", "seed": 0}


class Network(nn.Module):
    """Classes are the brightest of four quarters of the image, told with a margin that noise can take away."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.norm = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 4, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(4).repeat(1, 3))

    def forward(self, images):
        return self.head(self.norm(self.features(images)))


def quarters(count, seed):
    generator = make_generator(seed)
    images = torch.randint(0, 120, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.randint(4, (count,), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 12
    return LabelledPixels(images, labels)


@pytest.fixture
def study():
    return make_study()


def make_study():
    network = Network().eval()
    schedule = Schedule(steps=5, batch=16, patch=8, learning_rate=1e-3, warmup=1, decay=0.5, ema=0.5)
    return InjectionStudy(network, quarters(80, 0), resolve_preprocess(network), quarters(64, 1), schedule)


def by_hand(study, order, batch):
    found = torch.zeros(len(order), dtype=torch.bool)
    with inject(study.network, {"features": OptimalQ()}, when="test", allow_batch_mixing=True), torch.no_grad():
        for chosen in order.split(batch):
            scores = study.network(study.held_out.images[chosen] / 255)
            found[chosen] = scores.argmax(1) == study.held_out.labels[chosen]
    return found


def test_every_state_is_what_doing_it_by_hand_gives(study):
    hits = study.answers(*POINT.values()).hits
    given = torch.arange(80)
    assert torch.equal(hits["sorted"], by_hand(study, study.held_out.labels.argsort(stable=True), 10))
    assert torch.equal(hits["shuffled"], by_hand(study, torch.randperm(80, generator=make_generator(0)), 10))
    assert torch.equal(hits["bs1"], by_hand(study, given, 1))
    with torch.no_grad():
        plain = study.network(study.held_out.images / 255).argmax(1) == study.held_out.labels
    assert torch.equal(hits["off"], plain)
    assert hits["sorted"].double().mean() > hits["shuffled"].double().mean() + 0.2


def test_mixing_at_test_is_caught_and_mixing_in_training_only_is_not(study):
    rows = [study(**POINT | {"when": when}, device="cpu") for when in ("test", "train", "both")]
    assert [row["order_dependent"] for row in rows] == [True, False, True]
    assert rows[1]["off"] == rows[1]["shuffled"] == rows[1]["sorted"] == rows[1]["bs1"]


def test_training_is_the_same_again_and_leaves_the_network_alone(study):
    before = {name: value.clone() for name, value in study.network.state_dict().items()}
    first = study.answers(**POINT | {"when": "train"})
    study.answers(**POINT | {"when": "train", "noise": "none"})
    again = study.answers(**POINT | {"when": "train"})
    assert torch.equal(first.hits["off"], again.hits["off"])
    assert all(torch.equal(value, before[name]) for name, value in study.network.state_dict().items())
    assert not study.network.features._forward_hooks


def test_it_is_an_experiment_of_a_sweep(study, tmp_path):
    grid = grid_points({**{name: [value] for name, value in POINT.items()}, "strength": [0.0, 1.0]})
    rows = sweep(study, grid, tmp_path / "rows.jsonl", devices=["cpu"])
    assert [row["order_dependent"] for row in rows] == [False, True]
    assert rows[0]["off"] == rows[0]["sorted"]
    low, high = rows[1]["sorted_ci95"]
    assert low <= rows[1]["sorted"] <= high


@pytest.mark.slow
def test_several_devices_give_the_rows_of_one(study, tmp_path):
    points = [POINT | {"seed": seed, "when": when} for seed in (0, 1) for when in ("train", "both")]
    alone = sweep(study, points, tmp_path / "alone.jsonl", devices=["cpu"])
    assert sweep(make_study(), points, tmp_path / "together.jsonl", devices=["cpu", "cpu:0"]) == alone


def test_training_runs_on_the_gpu_that_asks(study, monkeypatch):
    current = []

    @contextmanager
    def as_current(device):
        current.append(device)
        yield
        current.append("left")

    monkeypatch.setattr(torch.cuda, "device", as_current)
    with suppress(AssertionError, RuntimeError):  # this machine need not have it
        study.answers(**POINT | {"when": "train"}, device="cuda:7")
    assert current == ["cuda:7", "left"]


def test_the_network_and_its_statistics_are_left_alone_whatever_its_mode(study):
    plain = study.answers(**POINT).hits
    study.network.train()
    before = {name: value.clone() for name, value in study.network.state_dict().items()}
    for when in ("test", "train", "both"):
        study.answers(**POINT | {"when": when})
    assert study.network.training
    assert all(torch.equal(value, before[name]) for name, value in study.network.state_dict().items())
    assert all(torch.equal(hits, plain[state]) for state, hits in study.answers(**POINT).hits.items())


@pytest.mark.parametrize("name", ["held_out", "training"])
def test_images_without_labels_are_refused(study, name):
    data = {"held_out": study.held_out, "training": study.training}
    data[name] = LabelledPixels(data[name].images, data[name].labels[:-3])
    with pytest.raises(ArgumentError, match=f"a label for each image of {name}.*leave out"):
        InjectionStudy(study.network, data["held_out"], study.preprocess, data["training"], study.schedule)


def test_what_cannot_be_run_is_refused(study):
    bare = InjectionStudy(study.network, study.held_out, study.preprocess)
    with pytest.raises(ArgumentError, match="when='test'"):
        bare.answers(**POINT | {"when": "train"})
    with pytest.raises(UnknownNameError, match="did you mean 'optimal'"):
        bare.answers(**POINT | {"noise": "optimum"})
    with pytest.raises(ArgumentError, match=r"when to be one of .*got 'never'"):
        bare.answers(**POINT | {"when": "never"})


def test_noise_in_training_changes_what_is_learnt_and_the_control_has_none(study):
    def scores(noise, when):
        asked = study.answers(**POINT | {"when": when, "noise": noise})
        return asked, {name: value.clone() for name, value in study._latest[1].state_dict().items()}

    _, control = scores("none", "train")
    _, noisy = scores("gaussian:sigma=5", "train")
    assert not torch.equal(control["head.weight"], noisy["head.weight"])
    first, second = (study.answers(**POINT | {"when": "train", "noise": "none", "strength": s}) for s in (0.0, 1.0))
    assert torch.equal(first.hits["off"], second.hits["off"])


def test_the_statistics_of_both_are_those_under_noise(study, monkeypatch):
    seen = {}
    kept = type(study)._with_own_statistics

    def watched(self, network, places, *, seed):
        seen[bool(places)] = kept(self, network, places, seed=seed)
        return seen[bool(places)]

    monkeypatch.setattr(type(study), "_with_own_statistics", watched)
    for when in ("train", "both"):
        study.answers(**POINT | {"noise": "gaussian:sigma=3", "when": when})
    plain, noisy = (seen[key].norm.running_var for key in (False, True))
    torch.testing.assert_close(noisy, plain + 9, rtol=0.5, atol=0)
    assert torch.equal(seen[False].head.weight, seen[True].head.weight)


@pytest.mark.parametrize("images", [1, 65, 130])
def test_any_number_of_training_images_gives_statistics_of_whole_batches(study, images):
    data = quarters(images, 2)
    schedule = Schedule(steps=1, batch=1 if images == 1 else 16, patch=8, learning_rate=1e-3, warmup=1, decay=1, ema=0)
    spatial = torch.nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    asked = InjectionStudy(spatial, study.held_out, study.preprocess, data, schedule)
    asked.answers(**POINT | {"when": "train", "noise": "none"})


def test_a_network_in_half_precision_is_asked_and_stays_where_it_is(study):
    study.network.to(torch.bfloat16)
    assert study(**POINT, device="cpu")["order_dependent"] is True
    assert next(study.network.parameters()).dtype == torch.bfloat16


def test_the_fingerprint_tells_weights_images_and_training_apart(study):
    others = [InjectionStudy(study.network, study.held_out, study.preprocess)]
    others.append(InjectionStudy(study.network, quarters(80, 5), study.preprocess, study.training, study.schedule))
    before = study.fingerprint()
    assert before == study.fingerprint()
    with torch.no_grad():
        study.network.head.weight[0, 0] += 1
    assert len({before, study.fingerprint(), *(other.fingerprint() for other in others)}) == 4
