"""The parts of the learners, against closed forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from noisewise._rng import initialised, make_generator
from noisewise.measure.residual import lag1_correlation
from noisewise.methods.nvt import Pyramid
from noisewise.methods.single_image import (
    Budget,
    GainTuning,
    NoiseModel,
    Noisier2Noise,
    Observed,
    Self2Self,
    fit_image,
    hold_out,
    measure_noise,
)
from noisewise.methods.single_image.gain_tuning import recorrupted
from noisewise.methods.single_image.zero_shot import halves
from noisewise.models import BlindDenoiser
from noisewise.models.unet import UNet
from noisewise.noise import parse_noise


def scene(side=64, channels=3):
    return torch.rand(1, channels, side, side, generator=make_generator(0))


def test_held_out_pixels_are_those_of_all_channels_and_alone_decide_the_error():
    image = scene()
    observed = hold_out(image, 0.1, make_generator(1))
    assert observed.kept.mean().item() == pytest.approx(0.9, abs=0.02)
    assert observed.error(image) == 0
    assert observed.error(image + 0.5 * observed.kept) == 0
    assert observed.error(image + 0.5 * (1 - observed.kept)) == pytest.approx(0.25)


def test_what_fills_a_hole_is_a_mean_of_its_neighbours():
    image = torch.full((1, 1, 9, 9), 0.3)
    kept = torch.ones(1, 1, 9, 9)
    kept[..., 4, 4] = 0
    image[..., 4, 4] = 5.0
    visible = Observed(image, kept).visible
    torch.testing.assert_close(visible, torch.full_like(image, 0.3))


def test_both_halves_together_are_the_image_at_half_its_size():
    image = scene(10)
    first, second = halves(image)
    torch.testing.assert_close((first + second) / 2, F.avg_pool2d(image, 2))
    torch.testing.assert_close(first[0, 0, 0, 0], (image[0, 0, 0, 1] + image[0, 0, 1, 0]) / 2)


class Shrunk(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images):
        return self.factor * images


def test_noisier2noise_is_wiener_where_the_network_is():
    power, sigma, ratio = 0.04, 0.1, 0.7
    noisier_power = power + sigma**2 * (1 + ratio**2)
    network = Shrunk((power + sigma**2) / noisier_power)  # E[y | z] of independent Gaussian pixels
    noisy = scene() - 0.5
    estimate = Noisier2Noise(sigma, ratio).estimate(network, noisy, make_generator(5), 1)
    added = torch.randn(noisy.shape, generator=make_generator(5))
    expected = power / noisier_power * (noisy + ratio * sigma * added)  # E[x | z]
    torch.testing.assert_close(estimate, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", ["gaussian:sigma=20", "correlated:sigma=20,blur=0.8"])
def test_noise_is_drawn_as_the_image_has_it(spec):
    noisy = parse_noise(spec)(torch.full((1, 3, 192, 192), 0.5), generator=make_generator(0))
    drawn = measure_noise(noisy).draw(torch.full_like(noisy, 0.5), make_generator(1))
    assert 255 * drawn.std().item() == pytest.approx(20, rel=0.15)
    assert lag1_correlation(drawn).item() == pytest.approx(lag1_correlation(noisy - 0.5).item(), abs=0.1)


def test_blown_highlights_are_not_taken_for_parts_without_noise():
    clean = torch.full((1, 3, 192, 192), 0.5)
    clean[..., :96] = 2.0
    noisy = parse_noise("gaussian:sigma=20")(clean, generator=make_generator(0)).clamp(0, 1)
    drawn = measure_noise(noisy).draw(torch.full_like(noisy, 0.5), make_generator(1))
    assert 255 * drawn.std().item() == pytest.approx(20, rel=0.15)


def test_noise_grows_with_the_light_as_in_the_image():
    ramp = torch.linspace(0.1, 0.9, 256).expand(1, 3, 256, 256)
    noisy = parse_noise("poisson:gain=4")(ramp, generator=make_generator(0))
    drawn = measure_noise(noisy).draw(ramp, make_generator(1))
    dark, light = drawn[..., :64].std().item(), drawn[..., -64:].std().item()
    assert light / dark == pytest.approx((0.8 / 0.2) ** 0.5, rel=0.25)


def test_a_recorrupted_pair_has_uncorrelated_noise():
    clean = torch.zeros(1, 3, 256, 256)
    model = NoiseModel.white(0.1, 3)
    noise = 0.1 * torch.randn(clean.shape, generator=make_generator(0))
    noisier, target = recorrupted(noise, model, 0.5, make_generator(1))
    assert torch.corrcoef(torch.stack([noisier.flatten(), target.flatten()]))[0, 1].abs() < 0.01


def test_only_the_gains_of_a_network_are_fitted():
    network = initialised(lambda: BlindDenoiser(widths=(8, 8), blocks=(1, 1), estimator_width=8), 0).eval()
    torch.nn.init.constant_(network.unet.tail.weight, 0.01)  # else no gain changes anything
    found = fit_image(
        GainTuning(noise=NoiseModel.white(0.1, 3)), scene(), network=network, budget=Budget(3, check_every=1)
    )
    fitted = dict(found.network.named_parameters())
    assert any((value != 1).any() for name, value in fitted.items() if "factors" in name)
    before = network.state_dict()
    kept = {name.replace("parametrizations.weight.original", "weight"): value for name, value in fitted.items()}
    assert all(torch.equal(kept[name], value) for name, value in before.items())


def test_self2self_answers_at_every_scale_of_a_pyramid():
    widths = (4, 6, 8)
    network = initialised(lambda: Pyramid(UNet(3, widths), 3, widths), 0)
    observed = hold_out(scene(37), 0.1, make_generator(0))
    loss = Self2Self().loss(network, observed, make_generator(1))
    loss.backward()
    assert all(head.weight.grad.abs().sum() > 0 for head in network.heads)
