"""Evaluation of classifiers against figures known in advance."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.functional.classification import multiclass_accuracy

from noisewise.contracts import Task
from noisewise.errors import ArgumentError
from noisewise.measure.classification import mean_corruption_error
from noisewise.noise import Gaussian, ImageNoise, parse_noise
from noisewise.tasks.classification import (
    Classification,
    CorruptionSuite,
    accuracy_difference,
    corruption_errors,
    corruptions,
    evaluate,
)

CLASSES = 8


class Spy(nn.Module):
    """Keeps the inputs it was given and the mode it was in."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.clone())
        self.modes.append(self.training)
        return images.flatten(1)[:, :CLASSES]

    @property
    def inputs(self) -> Tensor:
        return torch.cat(self.seen)


class Brightest(nn.Module):
    """Perfect on clean images whose brightest column is their class."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2))


def columns(count: int = 64) -> TensorDataset:
    """Dark images ``3 x 4 x 8``, whose one bright column is their class."""
    labels = torch.arange(count) % CLASSES
    bright = torch.nn.functional.one_hot(labels, CLASSES).float()
    return TensorDataset(0.2 + 0.4 * bright[:, None, None].expand(-1, 3, 4, -1), labels)


def random_images(count: int = 30) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.rand(count, 3, 4, 8, generator=generator), torch.randint(CLASSES, (count,), generator=generator)
    )


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(96, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, CLASSES))


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_accuracies_are_those_of_torchmetrics(batch_size):
    data, model = random_images(), network()
    result = evaluate(model, DataLoader(data, batch_size=batch_size))
    images, labels = data.tensors
    logits = model.eval()(images)
    for k, found in ((1, result.top1_accuracy), (5, result.top5_accuracy)):
        expected = multiclass_accuracy(logits, labels, num_classes=CLASSES, average="micro", top_k=k)
        assert found == pytest.approx(100 * expected.item())
    assert torch.equal(result.labels, labels)


@pytest.mark.parametrize("spec", ["gaussian", "jpeg:quality=30+poisson", "gaussian:sigma=5..50"])
def test_the_noise_of_an_image_depends_on_its_place_alone(spec):
    spies = [Spy() for _ in range(3)]
    for spy, batch_size in zip(spies, (1, 7, 30), strict=True):
        evaluate(spy, DataLoader(random_images(), batch_size=batch_size), noise=parse_noise(spec), seed=3)
    assert torch.equal(spies[0].inputs, spies[1].inputs)
    assert torch.equal(spies[0].inputs, spies[2].inputs)
    assert not torch.equal(spies[0].inputs, random_images().tensors[0])


def test_the_noise_of_an_image_does_not_depend_on_those_before_it():
    images = random_images().tensors[0]
    other = images.clone()
    other[:29] = other[:29].flip(0).sqrt()
    spies = Spy(), Spy()
    for spy, pixels in zip(spies, (images, other), strict=True):
        evaluate(spy, [(pixels, torch.zeros(30, dtype=torch.long))], noise=parse_noise("poisson"))
    assert torch.equal(spies[0].inputs[29], spies[1].inputs[29])


def test_no_two_images_and_no_two_seeds_share_their_noise():
    zeros = torch.zeros(20, 3, 4, 8)
    spies = [Spy() for _ in range(3)]
    for seed, spy in zip((-1, 0, 1), spies, strict=True):
        evaluate(spy, [(zeros, torch.zeros(20, dtype=torch.long))], noise=Gaussian(1.0), seed=seed)
    draws = torch.cat([spy.inputs for spy in spies]).flatten(1)
    assert len(draws.unique(dim=0)) == 60
    assert draws.std().item() == pytest.approx(1, abs=0.05)


def test_pixels_are_corrupted_before_they_are_preprocessed():
    spy, plain = Spy(), Spy()
    evaluate(plain, DataLoader(random_images()), noise=Gaussian())
    evaluate(spy, DataLoader(random_images()), noise=Gaussian(), preprocess=lambda pixels: 3 * pixels - 1)
    torch.testing.assert_close(spy.inputs, 3 * plain.inputs - 1)


def test_the_modes_of_all_modules_are_as_before():
    model = nn.Sequential(Spy(), nn.Dropout(), nn.BatchNorm1d(CLASSES))
    model[2].eval()  # frozen, as in much fine-tuning
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, DataLoader(random_images(), batch_size=10))
    assert not any(model[0].modes)
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_mode_is_restored_after_a_failure():
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 1))
    with pytest.raises(RuntimeError):
        evaluate(model, DataLoader(random_images()))
    assert model.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_take_the_precision_of_the_network(dtype):
    result = evaluate(network().to(dtype), DataLoader(random_images()), noise=Gaussian())
    assert len(result.labels) == 30


def test_logits_may_be_wrapped_as_in_transformers():
    class Wrapped(Brightest):
        def forward(self, images: Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=super().forward(images))

    assert evaluate(Wrapped(), DataLoader(columns())).top1_accuracy == 100


def test_progress_counts_images():
    seen: list[int] = []
    evaluate(Brightest(), DataLoader(columns(10), batch_size=4), progress=seen.append)
    assert seen == [4, 8, 10]


def test_what_cannot_be_evaluated_is_refused():
    exhausted = iter(DataLoader(columns()))
    evaluate(Brightest(), exhausted)
    with pytest.raises(ArgumentError, match="iterator is empty"):
        evaluate(Brightest(), exhausted)
    with pytest.raises(ArgumentError, match=r"floating images.*uint8"):
        evaluate(Brightest(), [(torch.zeros(1, 3, 4, 8, dtype=torch.uint8), torch.zeros(1, dtype=torch.long))])

    class Pair(Brightest):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, images

    with pytest.raises(ArgumentError, match=r"logits.*got tuple"):
        evaluate(Pair(), DataLoader(columns()))


def test_the_difference_is_that_of_the_accuracies_and_its_interval_that_of_the_pairs():
    data = DataLoader(columns(400), batch_size=100)
    clean, noisy = evaluate(Brightest(), data), evaluate(Brightest(), data, noise=Gaussian(0.5))
    lost = 1 - noisy.top1.double().mean().item()
    interval = accuracy_difference(clean, noisy)
    half = 196 * np.sqrt(lost * (1 - lost) / 400)  # the clean ones are all right: the pairs are binomial
    assert 5 < interval.mean < 95
    assert interval.mean == pytest.approx(clean.top1_accuracy - noisy.top1_accuracy)
    np.testing.assert_allclose([interval.low, interval.high], interval.mean + np.array([-half, half]), atol=0.15 * half)


def test_a_difference_between_other_images_is_refused():
    first, second = (evaluate(Brightest(), DataLoader(data)) for data in (columns(10), random_images(10)))
    with pytest.raises(ArgumentError, match="same images"):
        accuracy_difference(first, second)


def test_the_task_yields_both_accuracies_under_its_noise():
    data = DataLoader(columns(), batch_size=16)
    task: Task = Classification(data)
    assert dict(task(Brightest())) == {"top1": 100, "top5": 100}
    noisy = dict(Classification(data, noise=Gaussian(1.0), seed=2)(Brightest()))
    expected = evaluate(Brightest(), data, noise=Gaussian(1.0), seed=2)
    assert noisy == {"top1": expected.top1_accuracy, "top5": expected.top5_accuracy}
    assert noisy["top1"] < noisy["top5"] < 100


class Blackout(ImageNoise):
    """Nothing is left of the image from ``level`` 1 on."""

    def __init__(self, level: float) -> None:
        self.level = level

    def scaled(self, factor: float) -> Blackout:
        return Blackout(self.level * factor)

    def _corrupt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x * (self.level < 1)


def test_the_suite_yields_every_severity_and_the_mean_of_the_corrupted_ones():
    task: Task = CorruptionSuite(
        DataLoader(columns(), batch_size=16), {"dark": [Blackout(0.5), Blackout(1), Blackout(2)]}
    )
    found = list(task(Brightest()))
    chance = 100 / CLASSES  # of eight equal scores the first wins
    assert found == [
        ("clean", 100),
        ("dark/1", 100),
        ("dark/2", chance),
        ("dark/3", chance),
        ("mean corrupted", pytest.approx((100 + 2 * chance) / 3)),
    ]


def test_the_suite_has_every_registered_noise_by_default():
    names = [name for name, _ in CorruptionSuite(DataLoader(columns(8), batch_size=8))(Brightest())]
    assert names == ["clean", *(f"{name}/{i}" for name in corruptions() for i in range(1, 6)), "mean corrupted"]


def test_a_suite_gives_the_errors_of_the_mean_corruption_error():
    suite = CorruptionSuite(
        DataLoader(columns()), {"dark": [Blackout(0), Blackout(1)], "gaussian": [Gaussian(0.0)] * 2}
    )
    errors = corruption_errors(dict(suite(Brightest())))
    assert errors == {"dark": [0, 87.5], "gaussian": [0, 0]}
    assert mean_corruption_error(errors, {"dark": [87.5, 87.5], "gaussian": [50, 50]}) == pytest.approx(25)


@pytest.mark.parametrize("suite", [{}, {"gaussian": []}])
def test_a_suite_without_corruptions_is_refused(suite):
    with pytest.raises(ArgumentError, match="at least one corruption"):
        CorruptionSuite([], suite)
