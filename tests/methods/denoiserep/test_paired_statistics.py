"""Batch normalisation behind hardened layers: its new statistics are those of the views, and no other's change."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hardening import as_it_is, hardened, statuses
from small_networks import images
from timm.layers import BatchNormAct2d
from torch import nn

from noisewise.surgery import apply_patch, revert_patch


class Darker:
    """A noise without randomness, so that a test can make the same views by itself."""

    mixes_samples = False

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, clean, *, generator):
        return self.factor * clean

    def scaled(self, factor):
        return Darker(1 - factor * (1 - self.factor))


def network():
    torch.manual_seed(0)
    parts = [nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)]
    model = nn.Sequential(*parts).double()
    model(images(20, seed=1))  # statistics that are not 0 and 1
    return model.eval()


@pytest.mark.parametrize("clean_weight", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("chunk", [None, 7])
@torch.no_grad()
def test_new_statistics_are_the_weighted_mean_and_variance_over_the_views(clean_weight, chunk):
    model, data = network(), images(30)
    fused = hardened(model, data, [Darker(0.5), Darker(0.8)], clean_weight=clean_weight, chunk=chunk).fuse()
    views = [(clean_weight, data), (1.0, 0.5 * data), (1.0, 0.8 * data)]
    seen = [fused[1](fused[0](pixels)).movedim(1, -1).reshape(-1, 8).numpy() for _, pixels in views]
    weights = np.concatenate([np.full(len(rows), weight) for (weight, _), rows in zip(views, seen, strict=True)])
    rows = np.concatenate(seen)
    mean = np.average(rows, axis=0, weights=weights)
    # single precision is what the variances are taken in
    np.testing.assert_allclose(fused[2].running_mean, mean, rtol=1e-5, atol=1e-6)
    variance = np.average((rows - mean) ** 2, axis=0, weights=weights)
    np.testing.assert_allclose(fused[2].running_var, variance, rtol=1e-5, atol=1e-6)


def test_a_normalisation_before_the_first_hardened_layer_keeps_its_statistics():
    handle = hardened(network(), images(20), Darker(0.5))
    assert handle.new_weights().keys() == {"1.weight", "2.running_mean", "2.running_var", "4.weight", "4.bias"}
    assert statuses(handle)["2"] == "statistics of all views"
    behind = hardened(network(), images(20), Darker(0.5), targets=["4"])
    assert behind.new_weights().keys() == {"4.weight", "4.bias"}


def test_one_that_is_called_twice_keeps_its_statistics():
    shared = nn.BatchNorm2d(3)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 3, 1), shared, nn.Conv2d(3, 3, 1), shared).double().eval()
    assert all("running" not in name for name in hardened(model, images(20), Darker(0.5)).new_weights())


@torch.no_grad()
def test_the_handle_does_what_the_fused_network_does_and_a_patch_takes_it_back(tmp_path):
    model, data, file = network(), images(20), tmp_path / "patch.safetensors"
    handle = hardened(model, data, Darker(0.5))
    fused = handle.fuse(check=data)
    handle.save_patch(file)
    patched = copy.deepcopy(model)
    apply_patch(patched, file)
    torch.testing.assert_close(patched(data), fused(data), rtol=0, atol=0)
    revert_patch(patched, file)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in patched.state_dict().items())


def test_features_that_are_not_spatial_are_renewed_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)).double().eval()
    handle = hardened(model, images(40, side=3), Darker(0.5), preprocess=as_it_is)
    with torch.no_grad():
        fused = handle.fuse()
        data = images(40, side=3)
        seen = torch.cat([fused[1](pixels.flatten(1)) for pixels in (data, 0.5 * data)])
    torch.testing.assert_close(fused[2].running_mean, seen.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(fused[2].running_var, seen.var(0, correction=0), rtol=1e-5, atol=1e-6)


def test_a_subclass_that_activates_is_renewed_and_still_activates():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), BatchNormAct2d(6), nn.Conv2d(6, 4, 3)).double().eval()
    handle = hardened(model, images(20), Darker(0.5))
    assert "1.running_var" in handle.new_weights()
    with torch.no_grad():
        assert handle.fuse(check=images(4))[:2](images(4)).min() == 0


def test_one_whose_forward_was_replaced_is_left_alone():
    model = network()
    model[2].forward = replaced = lambda x: nn.BatchNorm2d.forward(model[2], x)
    assert all("running" not in name for name in hardened(model, images(20), Darker(0.5)).new_weights())
    assert model[2].forward is replaced


def test_the_last_layer_alone_renews_nothing():
    handle = hardened(network(), images(20), Darker(0.5)).last_only
    assert handle.fit_paired(images(20), Darker(0.5), preprocess=as_it_is).new_weights().keys() == {
        "4.weight",
        "4.bias",
    }
