"""The paper's form: branches beside the layers, then the same in the weights."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from small_networks import Attending, convolutional, images
from torch import nn
from torch.nn.utils import parametrizations

from noisewise.errors import ArgumentError, SurgeryError
from noisewise.methods.denoiserep import SCHEDULES, attach
from noisewise.surgery import FeatureMoments, apply_patch

VISIBLE = {"schedule": "ddpm", "t": 300}


def fitted(model, *targets, data=None, **options):
    batch = images(6) if data is None else data
    return attach(model, *targets, **(VISIBLE | options)).fit([batch])


def relative(came, expected):
    return float(((came - expected).abs().max() / expected.abs().max()).detach())


def statuses(handle):
    return {row.name: row.status for row in handle.table()}


FORMS = {
    "one step": {},
    "five steps": {"steps": 5},
    "depth": {"t": "depth", "steps": 30},
    "wiener": {"mode": "wiener"},
    "output side": {"side": "output"},
    "with added biases": {"add_bias": True},
    "printed equation": {"paper_eq7": True},
}


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("model", [convolutional(), Attending().double().eval()], ids=["convolutional", "attending"])
@torch.no_grad()
def test_the_fused_network_does_what_the_branched_one_does(model, options):
    handle, batch = fitted(model, **options), images(3, seed=1)
    fused = handle.fuse(check=batch)
    assert relative(fused(batch), handle(batch)) <= 1e-12
    assert relative(fused(batch), model(batch)) > 1e-4


@pytest.mark.parametrize("batch_first", [True, False])
@torch.no_grad()
def test_an_attention_in_either_layout(batch_first):
    model, batch = Attending(batch_first=batch_first).double().eval(), images(3, seed=1)
    handle = fitted(model, ["attention"])
    assert relative(handle.fuse()(batch), handle(batch)) <= 1e-12
    assert relative(handle(batch), model(batch)) > 1e-4


@torch.no_grad()
def test_single_precision():
    model, batch = convolutional(torch.float32), images(3, dtype=torch.float32)
    handle = fitted(model, data=batch)
    assert relative(handle.fuse(check=batch)(batch), handle(batch)) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_works_and_stays(dtype):
    model, batch = convolutional(dtype), images(3, dtype=dtype)
    fused = fitted(model, data=batch).fuse(check=batch)
    assert {value.dtype for value in fused.parameters()} == {dtype}
    assert relative(fused(batch).double(), fitted(convolutional()).fuse()(images(3))) < 0.05


def test_fusing_twice_gives_the_same_bits_and_leaves_the_network_alone():
    model = convolutional()
    before = copy.deepcopy(model)
    handle = fitted(model)
    first, second = handle.fuse().state_dict(), handle.fuse().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_fused_network_has_the_same_modules_and_keys():
    model = convolutional()
    handle = fitted(model)
    fused = handle.fuse()
    assert [type(module) for module in fused.modules()] == [type(module) for module in model.modules()]
    assert fused.state_dict().keys() == model.state_dict().keys()
    assert handle.added_biases() == []


def test_added_biases_are_reported():
    model = convolutional()
    handle = fitted(model, add_bias=True)
    new_keys = handle.fuse().state_dict().keys() - model.state_dict().keys()
    assert handle.added_biases() == sorted(new_keys) == ["5.bias", "6.bias"]


def test_an_offset_is_taken_only_where_it_can_be_fused():
    handle = fitted(convolutional())
    expected = {"0": "no offset", "2": "with offset", "5": "no offset", "6": "no offset", "10": "with offset"}
    assert statuses(handle) == {name: f"t=300, {offset}" for name, offset in expected.items()}
    offsets = {name: bool(denoiser.offset.any()) for name, denoiser in handle.maps().items()}
    assert offsets == {name: offset == "with offset" for name, offset in expected.items()}


@pytest.mark.parametrize("add_bias", [True, False])
@pytest.mark.parametrize(
    "options", [{"padding": 1}, {"padding": "same"}, {"padding": (0, 1)}], ids=["one", "same", "one side"]
)
def test_zero_padding_never_takes_an_offset(options, add_bias):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, **options), nn.Flatten()).double().eval()
    batch = images(3)
    handle = fitted(model, add_bias=add_bias)
    assert not handle.maps()["0"].offset.any()
    assert relative(handle.fuse()(batch), handle(batch)) <= 1e-12


def test_step_numbers_grow_from_the_output_to_the_input():
    handle = attach(convolutional(), schedule="ddpm", steps=2).fit([images(2)])
    assert [status.split(",")[0] for status in statuses(handle).values()] == ["t=10", "t=8", "t=6", "t=4", "t=2"]


def test_the_paper_s_equation_7_as_printed():
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 4)).double().eval()
    batch = images(50, side=3)
    fused = fitted(model, data=batch, paper_eq7=True).fuse()
    schedule, moments = SCHEDULES["ddpm"], FeatureMoments.of(batch.flatten(1)[:, None])
    alpha, alpha_bar = schedule.alpha(300), schedule.alpha_bar(300)
    noise_weight = math.sqrt(1 - alpha_bar) * torch.linalg.inv(
        alpha_bar * moments.second_moment[0] + (1 - alpha_bar) * torch.eye(27).double()
    )
    factor = (1 - alpha) / math.sqrt(alpha) / math.sqrt(1 - alpha_bar)
    torch.testing.assert_close(fused[1].weight, model[1].weight - factor * model[1].weight @ noise_weight)
    assert torch.equal(fused[1].bias, model[1].bias)


def test_only_the_last_layer():
    model, batch = convolutional(), images(3, seed=1)
    handle = attach(model, schedule="ddpm", steps=40).fit([images(6)])
    alone = attach(model, "last", schedule="ddpm", steps=40).fit([images(6)])
    last = handle.last_only
    assert statuses(last) | {"10": ""} == dict.fromkeys(["0", "2", "5", "6"], "not the last layer") | {"10": ""}
    assert last.new_weights().keys() == {"10.weight", "10.bias"}
    torch.testing.assert_close(last(batch), alone(batch), rtol=1e-12, atol=1e-14)
    assert len(handle.attached) == 5


def test_merged_data_sets_are_one_fit_on_their_union():
    model, first, second = convolutional(), images(4, seed=1), images(7, seed=2) * 0.5
    union = attach(model, **VISIBLE).fit([torch.cat([first, second])]).new_weights()
    at_once = attach(model, **VISIBLE).fit([first], [second])
    one_by_one = attach(model, **VISIBLE).fit([second]).fit(first.split(2))
    elsewhere = [attach(model, **VISIBLE).fit([batch]).moments for batch in (first, second)]
    for handle in (at_once, one_by_one, attach(model, **VISIBLE).add(*elsewhere)):
        for name, value in handle.new_weights().items():
            torch.testing.assert_close(value, union[name], rtol=1e-11, atol=1e-13)


def test_a_failed_fit_adds_nothing():
    handle = fitted(convolutional())
    before = handle.new_weights()
    with pytest.raises(SurgeryError):
        handle.fit([images(4, seed=1)], [])
    assert all(torch.equal(value, before[name]) for name, value in handle.new_weights().items())


def test_labels_in_the_loader_are_ignored():
    model, batch = convolutional(), images(4)
    plain, labelled = attach(model, **VISIBLE).fit([batch]), attach(model, **VISIBLE).fit([(batch, torch.arange(4))])
    assert all(torch.equal(value, labelled.new_weights()[name]) for name, value in plain.new_weights().items())


class Odd(nn.Module):
    """One layer called twice, two that share a weight, one parametrised, one never called."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.twice, self.never = nn.Linear(12, 12), nn.Linear(12, 12)
        self.one, self.other = nn.Linear(12, 12), nn.Linear(12, 12)
        self.other.weight = self.one.weight
        self.computed = parametrizations.weight_norm(nn.Linear(12, 12))

    def forward(self, x):
        return self.computed(self.other(self.one(self.twice(self.twice(x).tanh()))))


@torch.no_grad()
def test_layers_that_are_called_twice_never_tied_or_parametrised():
    model, batch = Odd().double().eval(), images(3)
    handle = fitted(model)
    assert statuses(handle) == {
        "twice": "t=300, with offset",
        "never": "never called",
        "one": "its weight or bias is shared with another module",
        "other": "its weight or bias is shared with another module",
        "computed": "its weight is computed from others; remove the parametrisation first",
    }
    assert relative(handle.fuse(check=batch)(batch), handle(batch)) <= 1e-12
    assert handle.new_weights().keys() == {"twice.weight", "twice.bias"}


class CrossAttention(nn.Module):
    """A learned query that attends to patches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.query = nn.Parameter(torch.randn(1, 1, 8))
        self.patches, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT
        return self.head(self.attention(self.query.expand(len(x), -1, -1), tokens, tokens)[0][:, 0])


@torch.no_grad()
def test_an_attention_to_something_else_is_refused_and_the_rest_stays_exact():
    model, batch = CrossAttention().double().eval(), images(3)
    handle = fitted(model)
    assert statuses(handle)["attention"] == "query, key and value differ"
    assert relative(handle.fuse(check=batch)(batch), handle(batch)) <= 1e-12
    with pytest.raises(SurgeryError, match=r"no layer of CrossAttention can be fitted; see table\(\)"):
        fitted(model, ["attention"])


def test_the_output_side_of_an_attention_is_refused():
    handle = fitted(Attending().double().eval(), side="output")
    assert "use side='input'" in statuses(handle)["attention"]


def test_a_layer_that_is_never_called_alone_is_an_error():
    with pytest.raises(SurgeryError, match="the network does not call them"):
        fitted(Odd().double().eval(), ["never"])


def test_the_check_finds_a_difference():
    handle = fitted(convolutional())
    with pytest.raises(SurgeryError, match="the fused network differs from the branched one by"):
        handle.fuse(check=images(2), tolerance=-1.0)


def test_a_patch_of_the_handle_makes_the_fused_network(tmp_path):
    model = convolutional()
    handle = fitted(model, add_bias=True)
    handle.save_patch(tmp_path / "patch.safetensors", {"noise": "none"})
    assert apply_patch(model, tmp_path / "patch.safetensors") == ["5.bias", "6.bias"]
    fused = fitted(convolutional(), add_bias=True).fuse().state_dict()
    assert all(torch.equal(value, fused[name]) for name, value in model.state_dict().items())


def test_gradients_flow_through_the_branched_network():
    batch = images(2).requires_grad_()
    fitted(convolutional())(batch).sum().backward()
    assert batch.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": "left"}, "expected side='input' or 'output', got 'left'"),
        ({"t": 3, "steps": 4}, "expected steps from 1 to t, got steps=4 with t=3"),
        ({"steps": 0}, "expected steps from 1 to t"),
        ({"t": "deep"}, "expected t='depth' or a diffusion step, got 'deep'"),
        ({"schedule": "papr"}, "no schedule called 'papr'; did you mean 'paper'"),
        ({"mode": "weiner"}, "no mode called 'weiner'; did you mean 'wiener'"),
    ],
)
def test_settings_that_do_not_exist_are_errors(options, message):
    with pytest.raises(ArgumentError, match=message):
        attach(convolutional(), **options)


def test_a_step_beyond_the_schedule_is_an_error():
    with pytest.raises(ArgumentError, match="expected a step t from 1 to 1000, got 1001"):
        fitted(convolutional(), t=1001).fuse()


@pytest.mark.parametrize("use", [lambda handle: handle.fuse(), lambda handle: handle(images(1))])
def test_an_unfitted_handle_says_so(use):
    handle = attach(convolutional())
    assert set(statuses(handle).values()) == {"not fitted yet"}
    with pytest.raises(SurgeryError, match=r"was not fitted yet; call fit\(loader\) first"):
        use(handle)


def test_a_network_in_training_mode_is_refused_even_in_part():
    model = convolutional()
    handle = attach(model)
    model[3].train()
    for use in (lambda: attach(model), lambda: handle.fit([images(1)])):
        with pytest.raises(ArgumentError, match=r"but 3 is in training mode; call model\.eval\(\) first"):
            use()
