"""Perfect features get full marks, others what scikit-learn gives them, and the dataset says what counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

from noisewise.contracts import Task
from noisewise.data.reidentification import ReidentificationDataset
from noisewise.errors import ArgumentError
from noisewise.measure import paired_bootstrap
from noisewise.noise import Gaussian
from noisewise.tasks.reidentification import Reidentification, embed, map_difference


class MeanColour(nn.Module):
    """Tells the individuals apart: each has a colour of its own."""

    def forward(self, images):
        return images.mean(dim=(2, 3)) - 0.5


class Texture(nn.Module):
    """Sees only what the views of one individual do not share."""

    def forward(self, images):
        return (images - images.mean(dim=(2, 3), keepdim=True)).flatten(1)


@pytest.fixture
def split(individuals) -> ReidentificationDataset:
    """The first view of each individual is the query."""
    query = tuple(image for image in individuals if image.camera == "0")
    return ReidentificationDataset((), query, tuple(image for image in individuals if image not in query))


@pytest.fixture
def among_all(individuals) -> ReidentificationDataset:
    return ReidentificationDataset((), individuals, individuals, same_camera_is_junk=False)


@pytest.mark.parametrize("data", ["split", "among_all"])
def test_perfect_features_get_full_marks(data, request):
    task: Task = Reidentification(request.getfixturevalue(data), batch_size=5)
    assert dict(task(MeanColour().eval())) == {"mAP": 100, "rank1": 100, "rank5": 100, "rank10": 100}


def test_figures_are_those_of_scikit_learn(among_all):
    features = embed(Texture().eval(), [image.path for image in among_all.query]).numpy()
    people = np.array([image.identity for image in among_all.query])
    precisions, nearest = [], []
    for index, feature in enumerate(features):
        others = np.arange(len(features)) != index
        similarity, truth = features[others] @ feature, people[others] == people[index]
        precisions.append(average_precision_score(truth, similarity))
        nearest.append(truth[np.argsort(-similarity)])
    expected = {"mAP": np.mean(precisions)} | {f"rank{k}": np.mean([n[:k].any() for n in nearest]) for k in (1, 5, 10)}
    figures = dict(Reidentification(among_all)(Texture().eval()))
    assert figures == pytest.approx({name: 100 * value for name, value in expected.items()})
    assert figures["mAP"] < 60


def test_the_dataset_says_whether_the_own_camera_is_junk(among_all):
    one_camera = tuple(dataclasses.replace(image, camera="0") for image in among_all.query)
    data = dataclasses.replace(among_all, query=one_camera, gallery=one_camera)
    assert Reidentification(data).find(MeanColour().eval()).left_out == 0
    with pytest.raises(ArgumentError, match="none of the 12 queries"):
        dict(Reidentification(dataclasses.replace(data, same_camera_is_junk=True))(MeanColour().eval()))


def test_queries_without_a_match_are_left_out(split):
    unseen = tuple(image for image in split.gallery if image.identity != "2")
    retrieval = Reidentification(dataclasses.replace(split, gallery=unseen)).find(MeanColour().eval())
    assert retrieval.queries.tolist() == [0, 1, 3]
    assert retrieval.left_out == 1


def test_noise_costs_and_depends_on_the_seed_alone(among_all):
    noisy = Reidentification(among_all, noise=Gaussian(1.0), seed=3)
    figures = dict(noisy(MeanColour().eval()))
    assert figures["mAP"] < 100
    assert dict(dataclasses.replace(noisy, batch_size=5)(MeanColour().eval())) == figures
    assert dict(dataclasses.replace(noisy, seed=4)(MeanColour().eval())) != figures


def test_two_networks_are_compared_query_by_query(among_all):
    task = Reidentification(among_all)
    good, bad = (task.find(model.eval()) for model in (MeanColour(), Texture()))
    difference = map_difference(good, bad)
    pairs = paired_bootstrap(good.average_precisions, bad.average_precisions)
    assert difference.low > 0
    assert difference.mean == pytest.approx(100 - dict(task(Texture().eval()))["mAP"])
    assert difference == pytest.approx([100 * value for value in pairs])


def test_everything_is_passed_on_to_the_embedding(among_all):
    counts, shapes, views = [], [], []

    def preprocess(images):
        shapes.append(images.shape)
        return images

    class Noting(MeanColour):
        def forward(self, images):
            views.append(len(images))
            return super().forward(images)

    task = Reidentification(among_all, preprocess, size=(5, 4), flip=True, batch_size=6)
    task.find(Noting().eval(), counts.append)
    assert shapes == [torch.Size((1, 3, 5, 4))] * 12  # queries that are their own gallery are read once
    assert views == [6] * 4
    assert counts == [6, 12]
