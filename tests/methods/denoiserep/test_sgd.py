"""Algorithm 1 of the paper: near the optimum, never below it, and the network stays as it was."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from small_networks import convolutional, images
from torch import nn

from noisewise.errors import ArgumentError
from noisewise.methods.denoiserep import attach

WELL_CONDITIONED = {"schedule": "ddpm", "t": 400}


def tiny(dtype=torch.float32):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    return model.to(dtype).eval()


def loader(batches=4, dtype=torch.float32):
    labels = torch.arange(16) % 3
    return [(images(16, side=8, seed=seed, dtype=dtype), labels) for seed in range(batches)]


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model, before):
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_loss_comes_within_a_ten_thousandth_of_the_optimum_and_not_below():
    handle = attach(tiny(), **WELL_CONDITIONED)
    result = handle.fit_sgd(loader(), epochs=150, learning_rate=3e-2)
    assert set(result.losses) == {"0", "4"}
    for name, loss in result.losses.items():
        assert -1e-9 <= loss - result.optima[name] <= 1e-4
    assert result.gap == max(result.losses[name] - result.optima[name] for name in result.losses)


@pytest.mark.parametrize("loss", ["l1", "l2", "l1+l2"])
def test_every_loss_ends_nearer_to_the_optimum_than_it_began(loss):
    start = attach(tiny(), **WELL_CONDITIONED).fit_sgd(loader(), loss=loss, learning_rate=0.0)
    end = attach(tiny(), **WELL_CONDITIONED).fit_sgd(loader(), loss=loss, epochs=15, learning_rate=3e-2)
    assert all(value == pytest.approx(1) for value in start.losses.values())
    assert 0 <= end.gap < 0.2 * start.gap


def cross_entropy(output, labels):
    return F.cross_entropy(output, labels)


@pytest.mark.parametrize("task_loss", [None, cross_entropy], ids=["label-free", "label-augmented"])
@torch.enable_grad()
def test_the_network_stays_frozen_bit_for_bit_and_what_could_learn_can_learn_again(task_loss):
    model = tiny()
    model[0].bias.requires_grad_(False)
    before = state(model)
    learning = [parameter.requires_grad for parameter in model.parameters()]
    attach(model, **WELL_CONDITIONED).fit_sgd(loader(), task_loss=task_loss, epochs=2)
    assert unchanged(model, before)
    assert [parameter.requires_grad for parameter in model.parameters()] == learning
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_without_labels_no_gradient_is_asked_of_the_network():
    model, asked = tiny(), []
    model[4].register_forward_hook(lambda module, inputs, output: asked.append(output.requires_grad))
    attach(model, **WELL_CONDITIONED).fit_sgd(loader())
    assert asked
    assert not any(asked)


def test_a_task_loss_with_its_default_weight_changes_the_fit():
    free = attach(tiny(), **WELL_CONDITIONED).fit_sgd(loader(), epochs=3)
    augmented = attach(tiny(), **WELL_CONDITIONED).fit_sgd(loader(), task_loss=cross_entropy, epochs=3)
    change = free.predictors["0"].weight - augmented.predictors["0"].weight  # its input is the same in both
    assert change.abs().max() > 1e-6


def test_with_all_weight_on_it_the_task_loss_falls():
    values = []
    handle = attach(tiny(), **WELL_CONDITIONED)
    handle.fit_sgd(
        loader(1),
        task_loss=cross_entropy,
        lam=0.0,
        epochs=40,
        learning_rate=0.1,
        progress=lambda step, loss: values.append(loss),
    )
    assert len(values) == 40
    assert values[-1] < values[0] - 1e-3


def test_after_an_error_in_the_middle_the_network_is_as_it_was():
    model = tiny()

    def failing(output, labels):
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        attach(model, **WELL_CONDITIONED).fit_sgd(loader(), task_loss=failing)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_seed_decides():
    def weights(seed):
        return attach(tiny(), **WELL_CONDITIONED).fit_sgd(loader(), seed=seed).predictors["4"].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_the_descended_network_is_fused_exactly_and_without_offsets_that_cannot_be():
    model, batch = convolutional(), images(4, seed=1)
    handle = attach(model, **WELL_CONDITIONED)
    result = handle.fit_sgd([images(4)], epochs=3)
    fused, expected = handle.fuse(check=batch)(batch).detach(), handle(batch).detach()
    assert (fused - expected).abs().max() <= 1e-12 * expected.abs().max()
    assert fused.dtype == torch.float64
    assert {name: bool(predictor.bias.any()) for name, predictor in result.predictors.items()} == {
        "0": False,
        "2": True,
        "5": False,
        "6": False,
        "10": True,
    }


def test_a_closed_form_fit_afterwards_takes_over():
    model, data = tiny(), loader()
    handle = attach(model, **WELL_CONDITIONED)
    handle.fit_sgd(data)
    both = handle.fit(data).new_weights()
    closed = attach(model, **WELL_CONDITIONED).fit(data, data).new_weights()
    assert all(torch.equal(value, closed[name]) for name, value in both.items())


@pytest.mark.parametrize(
    "options", [{"mode": "wiener"}, {"steps": 2}, {"paper_eq7": True}, {"side": "output"}], ids=str
)
def test_other_forms_are_refused(options):
    with pytest.raises(ArgumentError, match="fit_sgd trains one reverse step on the input side"):
        attach(tiny(), **(WELL_CONDITIONED | options)).fit_sgd(loader())


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (loader(1), {"loss": "l3"}, "expected one of the losses l1, l2, l1\\+l2, got 'l3'"),
        ([images(2, dtype=torch.float32)], {"task_loss": cross_entropy}, "a task loss needs labels"),
        (iter(loader(1)), {}, "an iterator can be read once"),
    ],
    ids=["loss", "no labels", "iterator"],
)
def test_settings_that_cannot_be_used_are_errors(data, options, message):
    with pytest.raises(ArgumentError, match=message):
        attach(tiny(), **WELL_CONDITIONED).fit_sgd(data, **options)
