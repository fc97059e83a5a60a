"""Layers fitted for what becomes of their output: the problem that is solved, by other solvers, and what stays."""

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
from noisewise.methods.denoiserep.targets import downstream_target
from noisewise.surgery import Downstream

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
    return closure().item()


def seen_by_first(model, pixels, **options):
    seen = []
    hook = model[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach().clone()))
    handle = hardened(model, pixels, rows_per_dimension=ALL, ridge=RIDGE, **options)
    hook.remove()
    return handle, seen[-1].chunk(3)


@pytest.mark.parametrize("bias", [True, False])
def test_the_rounds_come_to_the_least_price(bias):
    model, prices = rectifying(bias=bias), {}
    for downstream in (False, True):
        handle, views = seen_by_first(model, images(30), downstream=downstream)
        entries = handle.new_weights()
        prices[downstream] = price(model, views, entries["0.weight"], entries.get("0.bias")).item()
    optimum = least(model, views)
    assert optimum - 1e-6 <= prices[True] <= optimum + 0.02 * (prices[False] - optimum)


def test_chunks_give_what_the_whole_gives():
    model, pixels = rectifying(), images(11, side=16)
    whole = hardened(model, pixels, rows_per_dimension=1, downstream=True).new_weights()
    parts = hardened(model, pixels, rows_per_dimension=1, downstream=True, chunk=4).new_weights()
    assert parts.keys() == whole.keys()
    for name, value in parts.items():
        torch.testing.assert_close(value, whole[name], rtol=1e-6, atol=1e-9)


def test_the_normalisation_between_keeps_its_statistics_and_others_do_not():
    model = nn.Sequential(*rectifying(), nn.BatchNorm2d(4).double()).eval()
    assert hardened(model, images(9), downstream=True).statistics.keys() == {"4"}
    assert hardened(model, images(9)).statistics.keys() == {"1", "4"}


def test_without_a_rectifier_nothing_is_different():
    model = Attending().double().eval()
    one, other = (hardened(model, images(9), downstream=downstream).new_weights() for downstream in (False, True))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_fused_network_does_what_the_handle_does():
    model, pixels = convolutional(), images(20, side=16)
    before = copy.deepcopy(model.state_dict())
    handle = attach(model, mode="paired").fit_paired(pixels, "gaussian:sigma=40", downstream=True)
    handle.fuse(check=pixels)
    assert all(0 <= fit.remaining <= 1 for fit in handle.fits.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Residual(nn.Module):
    """A stem, and a convolution whose normalised output is added to that of the stem."""

    def __init__(self):
        super().__init__()
        self.stem, self.convolution = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(4)
        self.normalisation.running_var.uniform_(0.5, 2)

    def forward(self, images):
        before = self.stem(images)
        return before + self.normalisation(self.convolution(before))


@torch.no_grad()
def test_the_last_of_a_sum_makes_up_for_what_the_other_lacks():
    torch.manual_seed(0)
    model, pixels, seen = Residual().double().eval(), images(30), {}
    model.stem.register_forward_hook(lambda module, inputs, output: seen.update(stem=output))
    entries = hardened(model, pixels, rows_per_dimension=ALL, ridge=1e-9, downstream=True).new_weights()
    teacher, *views = seen["stem"].chunk(3)
    scale = (model.normalisation.running_var + model.normalisation.eps).rsqrt()[:, None, None]
    rows, wanted = [], []
    for view in views:
        windows = F.unfold(view, 3, padding=1).mT.flatten(0, 1)
        rows.append(F.pad(windows, (0, 1), value=1.0))
        wanted.append((model.convolution(teacher) + (teacher - view) / scale).flatten(2).mT.flatten(0, 1))
    expected = torch.linalg.lstsq(torch.cat(rows), torch.cat(wanted)).solution.T
    came = torch.cat([entries["convolution.weight"].flatten(1), entries["convolution.bias"][:, None]], 1)
    torch.testing.assert_close(came, expected, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_with_sums_chunks_give_what_the_whole_gives():
    torch.manual_seed(0)
    model, pixels = Residual().double().eval(), images(11, side=16)
    whole = hardened(model, pixels, rows_per_dimension=1, downstream=True).new_weights()
    parts = hardened(model, pixels, rows_per_dimension=1, downstream=True, chunk=4).new_weights()
    for name, value in parts.items():
        torch.testing.assert_close(value, whole[name], rtol=1e-6, atol=1e-9)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


numbers = st.floats(-3, 3, allow_subnormal=False)


@given(clean=numbers, predicted=numbers, scale=numbers, shift=numbers, other=numbers)
def test_no_output_that_rectifies_to_the_same_is_nearer(clean, predicted, scale, shift, other):
    rectifier = Downstream(*torch.tensor([[scale], [shift]], dtype=torch.float64), is_rectified=True)
    cell = torch.full((1, 1, 1), clean, dtype=torch.float64)
    target = float(downstream_target(cell, torch.full_like(cell, predicted), rectifier))

    def passed(output):
        return max(0.0, scale * output + shift)

    assert passed(target) == pytest.approx(passed(clean), abs=1e-9)
    if passed(other) == passed(clean) and (passed(clean) == 0 or other == clean):
        assert abs(predicted - target) <= abs(predicted - other) + 1e-9


def test_a_channel_that_is_switched_off_may_give_anything():
    off = Downstream(torch.zeros(1), torch.tensor([-1.0]), is_rectified=True)
    predicted = torch.randn(4, 1, 1, generator=make_generator(0))
    assert torch.equal(downstream_target(torch.ones(4, 1, 1), predicted, off), predicted)
