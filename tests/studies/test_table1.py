"""Table 1: the figures that were verified, and a row measured step by step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from noisewise.errors import ArgumentError, UnknownNameError
from noisewise.measure.statistics import Interval
from noisewise.methods.denoiserep import attach
from noisewise.models import resolve_preprocess
from noisewise.studies import TABLE1, Comparison, measure_row

VERIFIED = {"classification": (81.8, 82.1), "reid": (66.3, 67.3)}


def test_only_verified_figures_are_published():
    found = {name: row.published and row.published[1:3] for name, row in TABLE1.items()}
    assert found == {"classification": None, "reid": None, "detection": None, "segmentation": None} | VERIFIED
    assert all("github.com" in row.published.source for row in TABLE1.values() if row.published)
    with pytest.raises(UnknownNameError, match="did you mean 'segmentation'"):
        TABLE1["segmenting"]


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2)).eval()


IMAGES = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class MeanOutput:
    """A task whose figure is the mean output for one image, which any change of the weights moves."""

    def find(self, model, progress):
        progress(3)
        with torch.no_grad():
            return model(IMAGES[:1]).double()

    def metrics(self, found):
        yield "mean", float(found.mean())

    def difference(self, first, second, progress):
        return Interval(float((first - second).mean()), -1.0, 1.0)


def comparison(training=IMAGES):
    return Comparison(MeanOutput(), 3, training, 2)


def test_the_network_is_measured_as_it_came_and_with_its_denoisers_fused(network):
    before, told = copy.deepcopy(network.state_dict()), []
    measured = measure_row(
        network,
        comparison(),
        resolve_preprocess(network),
        limit=3,
        progress=lambda what, done, total: told.append((what, done, total)),
    )
    fused = attach(network).fit([IMAGES[[0, 2, 4]]]).fuse()  # evenly spread over the seven
    with torch.no_grad():
        baseline, result = (float(one(IMAGES[:1]).double().mean()) for one in (network, fused))
    assert result != baseline
    assert measured.baseline == baseline
    assert measured.result == pytest.approx(result, rel=1e-6)
    assert measured.difference.mean == pytest.approx(result - baseline, rel=1e-3)
    assert (measured.test_images, measured.training_images) == (3, 3)
    assert (measured.layers, measured.other_layers) == (2, 0)
    assert told == [
        ("fitting", 2, 3),
        ("fitting", 3, 3),
        ("measuring the baseline", 3, 3),
        ("measuring DenoiseRep", 3, 3),
    ]
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())


def test_one_image_is_too_few(network):
    with pytest.raises(ArgumentError, match="at least two training images"):
        measure_row(network, comparison(IMAGES[:1]), resolve_preprocess(network))
