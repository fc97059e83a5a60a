"""Hardening on pairs: what is refused, with which reason, and that the network is then as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from hardening import NOISE, as_it_is, hardened, statuses
from small_networks import convolutional, images
from torch import nn

from noisewise.errors import ArgumentError, SurgeryError, UnknownNameError
from noisewise.methods.denoiserep import attach


class SequenceFirst(nn.Module):
    """Tokens in the first dimension, images in the second, for one of three layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.mixed, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x):
        tokens = self.mixed(self.patches(x).flatten(2).permute(2, 0, 1))
        return self.head(tokens.mean(0))


@torch.no_grad()
def test_a_layer_in_which_samples_are_not_apart_is_refused_and_the_rest_fitted():
    model, batch = SequenceFirst().double().eval(), images(4)
    handle = hardened(model, images(8))
    assert statuses(handle)["mixed"] == "the images of a batch do not stay apart in its input"
    assert set(handle.fits) == {"patches", "head"}
    assert handle.fuse(check=batch)(batch).isfinite().all()
    with pytest.raises(SurgeryError, match=r"no layer of SequenceFirst can be fitted on pairs; see table\(\)"):
        hardened(model, images(8), targets=["mixed"])


class Wide(nn.Module):
    """A convolution that sees 73,728 values at once, between two that see few."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Conv2d(3, 8192, 4, 4), nn.Linear(2, 5)
        self.wide = nn.Conv2d(8192, 2, 3, padding=1)

    def forward(self, x):
        return self.head(self.wide(self.first(x)).mean((2, 3)))


@torch.no_grad()
def test_a_layer_whose_equations_do_not_fit_into_memory_is_refused_and_the_rest_fitted():
    handle = hardened(Wide().eval(), images(8).float())
    assert statuses(handle)["wide"] == "its equations for 73728 inputs take 174 GB, more than half of the free memory"
    assert set(handle.fits) == {"first", "head"}


class Odd(nn.Module):
    """A layer called twice, one never, one that sees no image, one behind cross-attention."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.twice, self.never, self.constant = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.cross = nn.MultiheadAttention(12, 2, batch_first=True)

    def forward(self, x):
        tokens = self.twice(self.twice(x.flatten(1, 2)))
        return self.cross(tokens, tokens + 1, tokens)[0] + self.constant(torch.ones_like(x[0, 0]).mean(0))


def test_layers_that_cannot_be_paired_say_why():
    handle = attach(Odd().double().eval(), mode="paired")
    with pytest.raises(SurgeryError, match="no layer of Odd can be fitted on pairs"):
        handle.fit_paired(images(4), NOISE, preprocess=as_it_is)
    assert {name: status for name, status in statuses(handle).items() if name != "cross.out_proj"} == {
        "twice": "called 2 times in a pass",
        "never": "never called",
        "constant": "what it sees does not depend on the image",
        "cross": "query, key and value differ",
    }


class Breaking(nn.Module):
    """Fails, or gives values that are not finite, from its third pass on."""

    def __init__(self, failure):
        super().__init__()
        self.network, self.head, self.failure, self.passes = convolutional(), nn.Linear(5, 5).double(), failure, 0

    def forward(self, x):
        self.passes += 1
        features = self.network(x)
        return self.head(self.failure(features) if self.passes > 2 else features)


def interrupted(features):
    raise KeyboardInterrupt


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize(
    ("failure", "error"),
    [(interrupted, KeyboardInterrupt), (lambda features: features / 0, SurgeryError)],
    ids=["interrupted", "not finite"],
)
def test_after_an_error_in_the_middle_the_network_is_untouched(failure, error, chunk):
    model = Breaking(failure).eval()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error):
        hardened(model, images(4), chunk=chunk)
    assert not any("forward" in vars(module) or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()


def test_activations_that_are_not_finite_are_an_error_that_names_the_layer():
    model = convolutional()
    model[2].weight.data[0] = torch.nan
    with pytest.raises(SurgeryError, match="what layer 5 sees is not finite; check the preprocessing"):
        hardened(model, images(4))


GOOD = images(4)
BAD_DATA = {
    "no image": (GOOD[:0], {}, "expected at least one image to fit on, got none"),
    "no batch": ([], {}, "expected at least one image to fit on, got none"),
    "no batch in chunks": ([], {"chunk": 2}, "expected at least one image to fit on, got none"),
    "no image in chunks": (GOOD[:0], {"chunk": 2}, "expected at least one image to fit on, got none"),
    "too bright": (GOOD * 255, {}, r"expected pixels in \[0, 1\], got values from .* pass images before normalisation"),
    "negative": (GOOD - 0.5, {}, r"expected pixels in \[0, 1\]"),
    "not a number": (GOOD * torch.nan, {}, r"expected pixels in \[0, 1\]"),
    "integers": (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), {}, "divide integers by 255"),
    "one channel plane": (GOOD[0, 0], {}, r"expected floating images B x C x H x W"),
    "several sizes": ([GOOD, images(2, side=8)], {}, "expected images of one size"),
    "iterator in chunks": (iter([GOOD]), {"chunk": 2}, "an iterator can be read once"),
    "chunk of none": (GOOD, {"chunk": 0}, "expected chunks of at least one image, got 0"),
    "negative weight": (GOOD, {"clean_weight": -1.0}, "expected clean_weight >= 0, got -1"),
    "no ridge": (GOOD, {"ridge": 0.0}, "expected ridge > 0"),
    "no rows": (GOOD, {"rows_per_dimension": 0}, "rows_per_dimension >= 1"),
    "no noise": (GOOD, {"noise": []}, "expected at least one noise to harden against"),
}


@pytest.mark.parametrize(("data", "options", "message"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_data_and_settings_that_cannot_be_used_are_errors(data, options, message):
    with pytest.raises(ArgumentError, match=message):
        hardened(convolutional(), data, **options)


def test_an_iterator_without_chunks_and_empty_batches_among_others_are_fine():
    model = convolutional()
    plain = hardened(model, GOOD).new_weights()
    for chunk, data in ((None, iter([GOOD[:0], GOOD[:3], GOOD[3:]])), (4, [GOOD[:0], GOOD])):
        came = hardened(model, data, chunk=chunk).new_weights()
        assert all(torch.allclose(value, plain[name], rtol=1e-9) for name, value in came.items())


def test_an_unknown_noise_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'gaussian'"):
        hardened(convolutional(), GOOD, "gausian:sigma=3")


def test_a_network_in_training_mode_is_refused_even_in_part():
    model = convolutional()
    handle = attach(model, mode="paired")
    model[3].train()
    with pytest.raises(ArgumentError, match=r"but 3 is in training mode; call model\.eval\(\) first"):
        handle.fit_paired(GOOD, NOISE, preprocess=as_it_is)


@pytest.mark.parametrize("use", [lambda handle: handle.fuse(), lambda handle: handle(GOOD)])
def test_an_unfitted_handle_says_so(use):
    handle = attach(convolutional(), mode="paired")
    assert set(statuses(handle).values()) == {"not fitted yet"}
    with pytest.raises(SurgeryError, match=r"call fit_paired\(images, noise\) first"):
        use(handle)
