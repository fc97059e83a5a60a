"""Layers fitted for what becomes of their output: the problem that is solved, by other solvers, and what stays."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hardening import hardened
from hypothesis import given
from hypothesis import strategies as st
from small_networks import Attending, Residual, convolutional, images
from torch import nn

from noisewise._rng import make_generator
from noisewise.methods.denoiserep import attach
from noisewise.methods.denoiserep.targets import downstream_target
from noisewise.surgery import Downstream

RIDGE = 0.1
ALL = 100_000
NOISES = ["gaussian:sigma=25", "gaussian:sigma=60"]


class Seen:
    """What the convolution of a `Residual` saw and what is added to it, of every view, the teacher's first."""

    def __init__(self, model, views):
        self.model, self.views = model, views
        model.stem.register_forward_hook(self)

    def __call__(self, module, inputs, output):
        self.features = output.chunk(self.views)

    def price(self, weights, weight, bias, ridge):
        """What is to be least: squared distances from what becomes of the clean output, and the ridge."""
        layer, norm = self.model.convolution, self.model.normalisation
        scale = (norm.weight * (norm.running_var + norm.eps).rsqrt())[:, None, None]
        shift = norm.bias[:, None, None] - scale * norm.running_mean[:, None, None]
        teacher, *views = self.features
        clean = layer(teacher)
        added = [feature if self.model.adds else 0 * feature for feature in self.features]
        total, squares = 0, 0
        for view, summand, importance in zip(views, added[1:], weights, strict=True):
            output = F.conv2d(view, weight, bias, padding=1, groups=layer.groups)
            missing = output - clean - (added[0] - summand) / scale
            beyond = (scale * output + shift + summand).clamp_min(0) / scale
            passes = (scale * clean + shift + added[0] > 0) | (not self.model.rectifies)
            total += importance * torch.where(passes, missing, beyond).square().sum()
            squares += importance * self.squares(view)
        changed = (weight - layer.weight).flatten(1).square().sum(1) + (bias - layer.bias).square()
        return total + (ridge * squares / (weight[0].numel() + 1) * changed).sum()

    def squares(self, view):
        """Of all inputs of each output, a one among them."""
        groups = self.model.convolution.groups
        windows = F.unfold(view, 3, padding=1)
        by_group = windows.square().sum((0, 2)).reshape(groups, -1).sum(1) + len(windows) * windows.shape[2]
        return by_group.repeat_interleave(self.model.convolution.out_channels // groups)


def least(seen, weights, ridge):
    """By a solver that knows nothing of rounds."""
    layer = seen.model.convolution
    found = [value.clone().requires_grad_() for value in (layer.weight, layer.bias)]
    solver = torch.optim.LBFGS(found, max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure():
        solver.zero_grad()
        value = seen.price(weights, *found, ridge)
        value.backward()
        return value

    solver.step(closure)
    return closure().item()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("adds", "rectifies"), [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize("clean_weight", [0.0, 2.5])
def test_the_rounds_come_to_the_least_price(adds, rectifies, groups, clean_weight):
    model = Residual(adds=adds, rectifies=rectifies, groups=groups).double().eval().requires_grad_(False)
    weights, prices = [clean_weight] * (clean_weight > 0) + [1.0, 1.0], {}
    seen = Seen(model, 1 + len(weights))
    for downstream in (False, True):
        options = {"rows_per_dimension": ALL, "ridge": RIDGE, "clean_weight": clean_weight, "downstream": downstream}
        entries = hardened(model, images(20), NOISES, targets="^convolution$", **options).new_weights()
        found = [entries[f"convolution.{name}"] for name in ("weight", "bias")]
        prices[downstream] = seen.price(weights, *found, RIDGE).item()
    optimum = least(seen, weights, RIDGE)
    assert optimum * (1 - 1e-6) <= prices[True] <= optimum + 0.2 * (prices[False] - optimum)


@pytest.mark.parametrize("adds", [False, True])
def test_chunks_give_what_the_whole_gives(adds):
    model, pixels = Residual(adds=adds, rectifies=True).double().eval(), images(11, side=16)
    whole = hardened(model, pixels, rows_per_dimension=1, downstream=True).new_weights()
    parts = hardened(model, pixels, rows_per_dimension=1, downstream=True, chunk=4).new_weights()
    assert parts.keys() == whole.keys()
    for name, value in parts.items():
        torch.testing.assert_close(value, whole[name], rtol=1e-6, atol=1e-9)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_single_precision_finds_almost_the_same():
    model, pixels = Residual(adds=True, rectifies=True).double().eval(), images(20, dtype=torch.float32)
    precise = hardened(model, pixels, downstream=True).new_weights()
    single = hardened(model.float(), pixels, downstream=True).new_weights()
    for name, value in single.items():
        torch.testing.assert_close(value.double(), precise[name], rtol=1e-3, atol=1e-4)


def test_the_normalisation_between_keeps_its_statistics_and_others_do_not():
    model = nn.Sequential(Residual(adds=True, rectifies=True), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).double().eval()
    assert hardened(model, images(9), downstream=True).statistics.keys() == {"2"}
    assert hardened(model, images(9)).statistics.keys() == {"0.normalisation", "2"}


def test_without_rectifiers_and_sums_nothing_is_different():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3)).double().eval()
    one, other = (hardened(model, images(9), downstream=downstream).new_weights() for downstream in (False, True))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("build", [convolutional, lambda: Attending().double().eval()])
def test_the_fused_network_does_what_the_handle_does(build):
    model, pixels = build(), images(20, side=16)
    before = copy.deepcopy(model.state_dict())
    handle = attach(model, mode="paired").fit_paired(pixels, "gaussian:sigma=40", downstream=True)
    handle.fuse(check=pixels)
    assert all(0 <= fit.remaining <= 1 for fit in handle.fits.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@torch.no_grad()
def test_the_error_that_is_left_is_that_of_the_sum():
    model = Residual(adds=True, rectifies=False).double().eval()
    model.normalisation.weight[0] = 1e-2  # whose own outputs miss a hundred times as much
    seen = Seen(model, 3)
    handle = hardened(model, images(20), rows_per_dimension=ALL, targets="^convolution$", downstream=True)
    entries = handle.new_weights()
    teacher, *views = seen.features

    def missed(weight, bias):
        sums = [view + model.normalisation(F.conv2d(view, weight, bias, padding=1)) for view in views]
        return sum((one - teacher - model.normalisation(model.convolution(teacher))).square().sum() for one in sums)

    before = missed(model.convolution.weight, model.convolution.bias)
    after = missed(entries["convolution.weight"], entries["convolution.bias"])
    assert handle.fits["convolution"].remaining == pytest.approx(float(after / before), rel=1e-6)


numbers = st.floats(-3, 3, allow_subnormal=False)


@given(clean=numbers, predicted=numbers, scale=numbers, shift=numbers, other=numbers, added=numbers, noisy=numbers)
def test_no_output_that_becomes_the_same_is_nearer(clean, predicted, scale, shift, other, added, noisy):
    scale = scale if abs(scale) > 0.01 else 0.0
    downstream = Downstream(*torch.tensor([[scale], [shift]], dtype=torch.float64), is_rectified=True)
    cells = [torch.full((1, 1, 1), value, dtype=torch.float64) for value in (clean, predicted, added, noisy)]
    target = float(downstream_target(*cells[:2], downstream, (cells[2], cells[3])))

    def passed(output, summand):
        return max(0.0, scale * output + shift + summand)

    wanted = passed(clean, added)
    if scale:
        assert passed(target, noisy) == pytest.approx(wanted, abs=1e-9)
    if passed(other, noisy) == wanted and scale and (wanted == 0 or other == target):
        assert abs(predicted - target) <= abs(predicted - other) + 1e-9


def test_a_channel_that_is_switched_off_may_give_anything():
    off = Downstream(torch.zeros(1), torch.tensor([-1.0]), is_rectified=True)
    predicted = torch.randn(4, 1, 1, generator=make_generator(0))
    assert torch.equal(downstream_target(torch.ones(4, 1, 1), predicted, off), predicted)
