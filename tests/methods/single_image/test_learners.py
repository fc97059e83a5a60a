"""Every registered learner: what it may see, what comes out, and that nothing but the seed decides it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from noisewise._rng import initialised, make_generator
from noisewise.errors import ArgumentError
from noisewise.measure import psnr
from noisewise.methods.nvt import Modules
from noisewise.methods.nvt.pretraining import Pupil
from noisewise.methods.single_image import LEARNERS, Budget, Learner, OnGrey, fit_image, hold_out
from noisewise.models import BlindDenoiser
from noisewise.noise import Gaussian

every_learner = pytest.mark.parametrize("name", LEARNERS)


@pytest.fixture(scope="module")
def clean():
    astronaut = np.ascontiguousarray(data.astronaut()[40:104, 180:244])
    return torch.from_numpy(astronaut).movedim(-1, 0)[None] / 255


@pytest.fixture(scope="module")
def noisy(clean):
    return Gaussian(40 / 255)(clean, generator=make_generator(0))


def fitted(name, noisy, steps, **options):
    return fit_image(LEARNERS[name](), noisy, budget=Budget(steps, check_every=max(1, steps // 4)), **options)


@pytest.mark.slow
@every_learner
def test_noise_is_removed(name, clean, noisy):
    found = fitted(name, noisy, 400)
    assert found.image.shape == noisy.shape
    assert psnr(found.image, clean).item() > psnr(noisy, clean).item() + 2
    assert [check.step for check in found.checks] == [0, 100, 200, 300, 400]
    assert not found.interrupted


@every_learner
def test_grey_images_of_odd_sides(name, noisy):
    grey = noisy.mean(1, keepdim=True)[..., :33, :47]
    assert fitted(name, grey, 2).image.shape == grey.shape


@every_learner
def test_the_seed_decides(name, noisy):
    first, same, other = (fitted(name, noisy, 2, seed=seed).image for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", [name for name, kind in LEARNERS.items() if kind.error is Learner.error])
def test_held_out_pixels_have_no_part_in_the_loss(name, noisy):
    learner = LEARNERS[name](**({"sigma": 0.1} if name == "noisier2noise" else {}))
    observed = hold_out(noisy, 0.2, make_generator(0))
    changed = type(observed)(noisy + (1 - observed.kept), observed.kept)
    network = initialised(lambda: learner.build(3), 0)
    losses = [float(learner.loss(network, image, make_generator(1)).detach()) for image in (observed, changed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] > 0


@every_learner
def test_a_network_that_is_given_is_left_alone_and_never_made_worse(name, noisy, monkeypatch):
    monkeypatch.setattr(LEARNERS[name], "rate", 1e3)  # every step does harm
    learner = LEARNERS[name]()
    network = initialised(lambda: learner.build(3), 3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = fit_image(learner, noisy, network=network, budget=Budget(4, check_every=1))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert found.best.error <= found.checks[0].error


@every_learner
def test_learning_where_gradients_are_off(name, noisy):
    with torch.inference_mode():
        found = fitted(name, noisy.clone(), 2)
    assert torch.equal(found.image, fitted(name, noisy, 2).image)


def test_ctrl_c_before_the_first_look_is_one(noisy):
    def impatient(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted("zero_shot_n2n", noisy, 8, progress=impatient)


def test_a_random_network_is_not_worth_keeping(noisy):
    assert not fitted("self2self", noisy, 0).is_worth_keeping
    assert fitted("gain_tuning", noisy, 0).is_worth_keeping


def test_an_image_with_no_pixel_to_hold_out_is_refused(noisy):
    with pytest.raises(ArgumentError, match="enough pixels to hold out 2% of"):
        fitted("self2self", noisy[..., :1, :1], 1)


@every_learner
def test_ctrl_c_gives_the_best_so_far(name, noisy):
    def impatient(share):
        if share > 0.5:
            raise KeyboardInterrupt

    found = fitted(name, noisy, 8, progress=impatient)
    assert found.interrupted
    assert found.image.isfinite().all()
    assert found.checks[-1].step < 8


def test_patience_ends_what_gets_no_better(noisy, monkeypatch):
    monkeypatch.setattr(LEARNERS["zero_shot_n2n"], "rate", 0.0)
    learner = LEARNERS["zero_shot_n2n"]()
    found = fit_image(learner, noisy, budget=Budget(1000, check_every=1, patience=3))
    assert [check.step for check in found.checks] == [0, 1, 2, 3]


def test_time_ends_it_too(noisy):
    found = fit_image(
        LEARNERS["zero_shot_n2n"](), noisy, budget=Budget(10**9, seconds=0.2, check_every=7, patience=10**9)
    )
    assert found.checks[-1].step % 7 != 0 or len(found.checks) > 1
    assert found.checks[-1].step < 10**6


@every_learner
def test_a_batch_is_refused(name, noisy):
    with pytest.raises(ArgumentError, match=r"1 x C x H x W.*one by one"):
        fit_image(LEARNERS[name](), noisy.expand(2, -1, -1, -1), budget=Budget(1))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("self2self", {"drop": 0.0}),
        ("self2self", {"feature_drop": 1.0}),
        ("deep_image_prior", {"jitter": -1.0}),
        ("noisier2noise", {"ratio": 0.0}),
        ("noisier2noise", {"sigma": 0.0}),
        ("gain_tuning", {"ratio": float("nan")}),
    ],
)
def test_fields_out_of_range_are_refused(name, fields):
    with pytest.raises(ArgumentError, match="expected"):
        LEARNERS[name](**fields)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_network_that_a_learner_cannot_start_from_is_refused(name, noisy):
    denoiser = BlindDenoiser(widths=(8, 8), blocks=(1, 1), estimator_width=8)
    unfit = torch.nn.Identity() if name == "gain_tuning" else denoiser
    with pytest.raises(ArgumentError, match="expected a"):
        fit_image(LEARNERS[name](), noisy, network=unfit, budget=Budget(1))


def test_self2self_takes_a_network_in_two_halves_only(noisy):
    with pytest.raises(ArgumentError, match=r"encode.*UNet"):
        fit_image(LEARNERS["self2self"](), noisy, network=torch.nn.Identity(), budget=Budget(1))


@pytest.mark.parametrize("name", ["self2self", "deep_image_prior", "noisier2noise"])
@pytest.mark.parametrize("modules", [Modules("add"), Modules("concatenate", pyramid=True), Modules(None, pyramid=True)])
def test_what_a_recipe_trains_starts_a_learner_on_sides_that_nothing_halves(name, modules):
    start = Pupil(modules, widths=(8, 8, 8)).pruned()
    colour = torch.rand(1, 3, 21, 30, generator=make_generator(0))
    for network, noisy in ((start, colour), (OnGrey(start), colour[:, :1])):
        found = fit_image(LEARNERS[name](), noisy, network=network, budget=Budget(1))
        assert found.image.shape == noisy.shape
        assert found.image.isfinite().all()
