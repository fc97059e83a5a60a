"""Batch normalisation in the weights of the layer before it, and where it has to stay."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from noisewise.errors import SurgeryError
from noisewise.surgery import fold_batchnorm


def settled(model):
    """``model`` in evaluation mode, double precision, its normalisations far from the identity."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in filter(
                lambda value: value is not None and value.is_floating_point(), module.state_dict().values()
            ):
                values.copy_(torch.rand_like(values) + 0.5)
    return model.double().eval()


def remaining(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]


def assert_same_function(first, second, batch):
    with torch.no_grad():
        torch.testing.assert_close(first(batch), second(batch), rtol=1e-12, atol=1e-12)


class SharedConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.first, self.second = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.second(self.layer(self.first(self.layer(x))))


class SharedNormalisation(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(torch.relu(self.norm(self.layer(x))))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        features = self.layer(x)
        return features + self.norm(features)


def convolutional(**options):
    return nn.Sequential(nn.Conv2d(3, 6, 3, **options), nn.BatchNorm2d(6), nn.ReLU())


FOLDED = {
    "with bias": convolutional(),
    "without bias": convolutional(bias=False),
    "depthwise": convolutional(groups=3, stride=2, padding=1),
    "not affine": nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, affine=False)),
    "linear": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 6), nn.BatchNorm1d(6)),
    "nested": nn.Sequential(convolutional(), nn.Sequential(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6))),
}
KEPT = {
    "convolution called twice": SharedConvolution(),
    "normalisation called twice": SharedNormalisation(),
    "features used elsewhere too": Branching(),
    "normalisation first": nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)),
    "activation between": nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.BatchNorm2d(3)),
    "no statistics": nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)),
    "parametrised": nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 3)), nn.BatchNorm2d(3)),
}


@pytest.mark.parametrize("model", FOLDED.values(), ids=FOLDED.keys())
def test_a_normalisation_behind_a_layer_disappears(model):
    model = settled(model)
    before = copy.deepcopy(model.state_dict())
    folded = fold_batchnorm(model, torch.rand(2, 3, 8, 8).double())
    assert remaining(folded) == []
    assert_same_function(folded, model, torch.rand(2, 3, 8, 8).double())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("model", KEPT.values(), ids=KEPT.keys())
def test_a_normalisation_that_cannot_be_folded_stays(model):
    model = settled(model)
    folded = fold_batchnorm(model)
    assert remaining(folded) == remaining(model) != []
    assert_same_function(folded, model, torch.rand(2, 3, 8, 8).double())


def test_a_normalisation_of_tokens_stays():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)).double().eval()  # as many tokens as features
    nn.init.uniform_(model[1].running_mean)
    tokens = torch.rand(2, 5, 4).double()
    folded = fold_batchnorm(model, tokens)
    assert remaining(folded) == remaining(model) != []
    assert_same_function(folded, model, tokens)
    assert remaining(fold_batchnorm(model)) == remaining(model)


def test_a_whole_resnet():
    from torchvision.models.resnet import BasicBlock, ResNet

    model = settled(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5))
    folded = fold_batchnorm(model)
    assert remaining(folded) == []
    batch = torch.rand(2, 3, 32, 32).double()
    with torch.no_grad():
        expected, came = model(batch), folded(batch)
    assert (came - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_a_network_in_training_mode_is_refused_even_in_part():
    model = settled(convolutional())
    model[1].train()
    with pytest.raises(SurgeryError, match=r"call model\.eval\(\) first"):
        fold_batchnorm(model)


def test_a_network_that_cannot_be_traced_is_refused():
    class Choosing(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(SurgeryError, match="Choosing cannot be traced"):
        fold_batchnorm(Choosing().eval())
