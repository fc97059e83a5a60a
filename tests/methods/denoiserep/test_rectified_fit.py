"""Layers before a rectifier: the problem that is solved, by another solver, and what stays as it was."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hardening import hardened
from hypothesis import given
from hypothesis import strategies as st
from small_networks import Attending, convolutional, images
from torch import nn

from noisewise._rng import make_generator
from noisewise.methods.denoiserep import attach
from noisewise.methods.denoiserep.rectified import rectified_target
from noisewise.surgery import Rectifier

RIDGE = 0.1
ALL = 100_000


def rectifying(*, bias=True):
    """A convolution, a normalisation that turns some channels round, and a rectifier."""
    torch.manual_seed(0)
    model = (
        nn.Sequential(nn.Conv2d(3, 6, 3, bias=bias), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1)).double().eval()
    )
    norm = model[1]
    norm.running_mean.uniform_(-0.3, 0.3)
    norm.running_var.uniform_(0.01, 0.05)
    nn.init.uniform_(norm.weight, -1, 1)
    nn.init.uniform_(norm.bias, -0.5, 0.5)
    return model.requires_grad_(False)


def price(model, views, weight, bias):
    """What is to be least: squared distances from what the rectifier takes for the clean output, and the ridge."""
    layer, norm = model[0], model[1]
    scale = (norm.weight * (norm.running_var + norm.eps).rsqrt())[:, None, None]
    shift = norm.bias[:, None, None] - scale * norm.running_mean[:, None, None]
    clean = F.conv2d(views[0], layer.weight, layer.bias)
    distances, squares = 0, 0
    for view in views[1:]:
        output, windows = F.conv2d(view, weight, bias), F.unfold(view, 3)
        beyond = (scale * output + shift).clamp_min(0) / scale
        distances += torch.where(scale * clean + shift > 0, output - clean, beyond).square().sum()
        squares += windows.square().sum() + (0 if bias is None else len(windows) * windows.shape[2])
    changed = (weight - layer.weight).square().sum() + (0 if bias is None else (bias - layer.bias).square().sum())
    return distances + RIDGE * squares / (27 + (bias is not None)) * changed


def least(model, views):
    """By a solver that knows nothing of rounds."""
    found = [value.clone().requires_grad_() for value in (model[0].weight, model[0].bias) if value is not None]
    solver = torch.optim.LBFGS(found, max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure():
        solver.zero_grad()
        value = price(model, views, found[0], found[1] if len(found) == 2 else None)
        value.backward()
        return value

    solver.step(closure)
    return float(closure())


def seen_by_first(model, pixels, **options):
    seen = []
    hook = model[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach().clone()))
    handle = hardened(model, pixels, rows_per_dimension=ALL, ridge=RIDGE, **options)
    hook.remove()
    return handle, seen[-1].chunk(3)


@pytest.mark.parametrize("bias", [True, False])
def test_five_rounds_come_to_the_least_price(bias):
    model, prices = rectifying(bias=bias), {}
    for rectified in (False, True):
        handle, views = seen_by_first(model, images(30), rectified=rectified)
        entries = handle.new_weights()
        prices[rectified] = float(price(model, views, entries["0.weight"], entries.get("0.bias")))
    optimum = least(model, views)
    assert optimum - 1e-6 <= prices[True] <= optimum + 0.02 * (prices[False] - optimum)


def test_chunks_give_what_the_whole_gives():
    model, pixels = rectifying(), images(11, side=16)
    whole = hardened(model, pixels, rows_per_dimension=1, rectified=True).new_weights()
    parts = hardened(model, pixels, rows_per_dimension=1, rectified=True, chunk=4).new_weights()
    assert parts.keys() == whole.keys()
    for name, value in parts.items():
        torch.testing.assert_close(value, whole[name], rtol=1e-6, atol=1e-9)


def test_the_normalisation_between_keeps_its_statistics_and_others_do_not():
    model = nn.Sequential(*rectifying(), nn.BatchNorm2d(4).double()).eval()
    assert hardened(model, images(9), rectified=True).statistics.keys() == {"4"}
    assert hardened(model, images(9)).statistics.keys() == {"1", "4"}


def test_without_a_rectifier_nothing_is_different():
    model = Attending().double().eval()
    one, other = (hardened(model, images(9), rectified=rectified).new_weights() for rectified in (False, True))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_fused_network_does_what_the_handle_does():
    model, pixels = convolutional(), images(20, side=16)
    before = copy.deepcopy(model.state_dict())
    handle = attach(model, mode="paired").fit_paired(pixels, "gaussian:sigma=40", rectified=True)
    handle.fuse(check=pixels)
    assert all(0 <= fit.remaining <= 1 for fit in handle.fits.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


numbers = st.floats(-3, 3, allow_subnormal=False)


@given(clean=numbers, predicted=numbers, scale=numbers, shift=numbers, other=numbers)
def test_no_output_that_rectifies_to_the_same_is_nearer(clean, predicted, scale, shift, other):
    rectifier = Rectifier(*torch.tensor([[scale], [shift]], dtype=torch.float64))
    cell = torch.full((1, 1, 1), clean, dtype=torch.float64)
    target = float(rectified_target(cell, torch.full_like(cell, predicted), rectifier))

    def passed(output):
        return max(0.0, scale * output + shift)

    assert passed(target) == pytest.approx(passed(clean), abs=1e-9)
    if passed(other) == passed(clean) and (passed(clean) == 0 or other == clean):
        assert abs(predicted - target) <= abs(predicted - other) + 1e-9


def test_a_channel_that_is_switched_off_may_give_anything():
    off = Rectifier(torch.zeros(1), torch.tensor([-1.0]))
    predicted = torch.randn(4, 1, 1, generator=make_generator(0))
    assert torch.equal(rectified_target(torch.ones(4, 1, 1), predicted, off), predicted)
