"""What holds of every task that compares two networks image by image."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from noisewise._rng import make_generator
from noisewise.data.detection import Objects
from noisewise.data.reidentification import ReidentificationDataset
from noisewise.noise import Gaussian
from noisewise.tasks.classification import Classification
from noisewise.tasks.detection import Detection
from noisewise.tasks.reidentification import Reidentification
from noisewise.tasks.segmentation import Segmentation

IMAGES = 12
STRONG = Gaussian(4.0)
NAMES = ("classification", "segmentation", "detection", "reidentification")


class Dominant(nn.Module):
    """The share of each colour, over the image or at every pixel."""

    def __init__(self, *, everywhere: bool) -> None:
        super().__init__()
        self.everywhere = everywhere

    def forward(self, images):
        return images if self.everywhere else images.mean((2, 3))


class Bright(nn.Module):
    """A box around what is brighter than the middle."""

    def forward(self, images):
        rows, columns = ((images[0].mean(0) > 0.5).any(axis).nonzero()[:, 0] for axis in (1, 0))
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return [{"boxes": torch.tensor([box]).float(), "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}]


@pytest.fixture(params=NAMES)
def asked(request):
    """A task, a network for it, and the number of its images."""
    labels = torch.arange(IMAGES) % 3
    images = 0.2 * torch.rand(IMAGES, 3, 9, 8, generator=make_generator(0))
    images[torch.arange(IMAGES), labels] += 0.5
    if request.param == "classification":
        return Classification([(images, labels)], seed=3), Dominant(everywhere=False), IMAGES
    if request.param == "segmentation":
        maps = labels[:, None, None].expand(-1, 9, 8)
        return Segmentation([(images, maps)], 3, seed=3), Dominant(everywhere=True), IMAGES
    if request.param == "detection":
        pytest.importorskip("faster_coco_eval")
        photographs = [
            (torch.zeros(3, 40, 50 + i), Objects(torch.tensor([[5.0, 6, 30, 20]]), labels[:1] + 1)) for i in range(5)
        ]
        for image, _ in photographs:
            image[:, 6:20, 5:30] = 1
        return Detection(photographs, seed=3, resamples=20), Bright(), len(photographs)
    people = request.getfixturevalue("individuals")
    return Reidentification(ReidentificationDataset((), people, people)), Dominant(everywhere=False), len(people)


def test_called_it_yields_the_metrics_of_what_is_found(asked):
    task, network, _ = asked
    assert dict(task(network.eval())) == dict(task.metrics(task.find(network.eval())))


def test_it_tells_how_many_images_are_done(asked):
    task, network, images = asked
    told = []
    task.find(network.eval(), told.append)
    assert told == sorted(told)
    assert told[-1] == images


def test_the_difference_is_that_of_the_main_metric(asked):
    task, network, _ = asked
    clean, noisy = (one.find(network.eval()) for one in (task, dataclasses.replace(task, noise=STRONG)))
    (_, best), (_, worse) = (next(task.metrics(found)) for found in (clean, noisy))
    told = []
    mean, low, high = task.difference(clean, noisy, lambda done, total: told.append((done, total)))
    assert bool(told) == isinstance(task, Detection)  # whose samples are counted as long as the set
    assert told == sorted(told)
    assert all(done == total for done, total in told[-1:])
    assert mean == pytest.approx(best - worse)
    assert best > worse
    assert low <= mean <= high
    assert task.difference(clean, clean) == (0, 0, 0)


def test_noise_does_not_change_from_one_asking_to_the_next(asked):
    task, network, _ = asked
    noisy = dataclasses.replace(task, noise=STRONG)
    assert dict(noisy(network.eval())) == dict(noisy(network.eval()))
