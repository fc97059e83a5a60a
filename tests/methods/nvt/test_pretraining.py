"""Every combination of modules trains, resumes, and leaves a plain network that denoises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from skimage import data

from noisewise._rng import make_generator
from noisewise.data.patches import PatchSampler
from noisewise.errors import ArgumentError
from noisewise.measure import psnr
from noisewise.methods.nvt import LOSSES, Modules, NoisyViews, latent_kl, latent_l1, perceptual, pretrain, thesis_noise
from noisewise.methods.nvt.views import mixed_up
from noisewise.noise import parse_noise
from noisewise.train import Schedule

WIDTHS = (8, 8)
SCHEDULE = Schedule(steps=4, batch=4, patch=32, learning_rate=2e-3, warmup=1, decay=0.5, ema=0.5)
COMBINATIONS = [
    Modules(None),
    Modules(None, pyramid=True, loss="charbonnier"),
    Modules(None, target="other_view"),
    Modules("concatenate"),
    Modules("add", information=0.1),
    Modules("concatenate", information=0.1, pyramid=True, target="other_view"),
]


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    path = tmp_path_factory.mktemp("photographs") / "astronaut.png"
    Image.fromarray(data.astronaut()[:128, 160:288]).save(path)
    return PatchSampler([path], SCHEDULE.patch)


def views(patches, **changed):
    return NoisyViews(patches, replace(SCHEDULE, **changed), seed=0, noise=parse_noise("gaussian:sigma=40"))


def stopped_half_way(step, loss):
    if step == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize("modules", COMBINATIONS, ids=str)
def test_an_interrupted_run_ends_where_an_unbroken_one_would(modules, patches, tmp_path):
    whole = pretrain(modules, views(patches), tmp_path / "whole", widths=WIDTHS)
    with pytest.raises(KeyboardInterrupt):
        pretrain(modules, views(patches), tmp_path / "broken", widths=WIDTHS, save_every=2, progress=stopped_half_way)
    resumed = pretrain(modules, views(patches), tmp_path / "broken", widths=WIDTHS)
    ours, theirs = whole.state_dict(), resumed.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    noisy = torch.rand(1, 3, 32, 32, generator=make_generator(0))
    assert whole(noisy).shape == noisy.shape


@pytest.mark.slow
@pytest.mark.parametrize("modules", [Modules(None), Modules("add"), Modules(None, target="other_view")], ids=str)
def test_what_is_trained_denoises(modules, patches, tmp_path):
    network = pretrain(modules, views(patches, steps=250, ema=0.98), tmp_path / "checkpoint", widths=(16, 24))
    clean = patches.draw(8, make_generator(9))
    noisy = parse_noise("gaussian:sigma=40")(clean, generator=make_generator(10))
    with torch.no_grad():
        assert psnr(network(noisy), clean).mean() > psnr(noisy, clean).mean() + 4


def test_both_views_show_the_same_under_other_noise(patches):
    batch = views(patches)[0]
    again = views(patches)[0]
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    first, second = batch.first - batch.clean, batch.second - batch.clean
    assert 255 * first.std() == pytest.approx(40, rel=0.1)
    assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].abs() < 0.05


def test_the_default_is_the_pool_of_the_thesis(patches):
    data = NoisyViews(patches, replace(SCHEDULE, batch=32), seed=0)
    batch = data[0]
    levels = (batch.first - batch.clean).std((1, 2, 3))
    assert data.noise == thesis_noise()
    assert all(part.isfinite().all() for part in batch)
    assert levels.max() > 3 * levels.min()


def test_mixed_patches_lie_between_two():
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(-1, 3, 2, 2)
    assert torch.equal(mixed_up(images, 0.0, make_generator(0)), images)
    mixed = mixed_up(images, 1.0, make_generator(0))[:, 0, 0, 0]
    for index, value in enumerate(mixed.tolist()):
        low, high = sorted((index, (index - 1) % 4))
        assert low <= value <= high


@pytest.mark.parametrize(
    "fields", [{"joining": None, "information": 0.1}, {"information": -1.0}, {"target": "nothing"}, {"loss": "bce"}]
)
def test_modules_that_do_not_go_together_are_refused(fields):
    with pytest.raises(ArgumentError, match="expected"):
        Modules(**fields)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_least_at_the_target_and_finite_anywhere(name):
    target = torch.rand(2, 3, 8, 8, generator=make_generator(0))
    at_target = torch.logit(target) if name == "bce" else target
    least = LOSSES[name](at_target, target)
    for other in (at_target + 0.1, at_target - 0.1, 1e6 * torch.ones_like(target), -1e6 * torch.ones_like(target)):
        loss = LOSSES[name](other, target)
        assert loss.isfinite()
        assert loss > least


def test_regularisers_are_zero_where_they_pull_to():
    normal = torch.randn(64, 2, 32, 32, generator=make_generator(0))
    assert latent_kl([normal]).item() == pytest.approx(0, abs=1e-3)
    assert latent_kl([normal, normal + 1]).item() == pytest.approx(0.25, abs=1e-2)  # m^2 / 2, mean of both levels
    assert latent_kl([torch.zeros(2, 2, 4, 4)]).isfinite()
    assert latent_l1([torch.ones(1, 1, 2, 2), -3 * torch.ones(1, 1, 2, 2)]).item() == 2


def test_a_perceptual_loss_is_that_of_the_encoder():
    first, second = torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    assert perceptual(first, second, lambda images: 2 * images).item() == 4
