"""The rehearsal that chooses a noise level without a clean image."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch

from noisewise._rng import make_generator
from noisewise.data import read_image
from noisewise.measure.image import psnr
from noisewise.noise import parse_noise
from noisewise.restore.denoise import shipped_denoiser
from noisewise.restore.level import CANDIDATES, choose_level, surrogate_noise


def noise(shape, seed):
    return torch.randn(shape, generator=make_generator(seed))


def test_the_surrogate_has_the_spectrum_of_the_residual():
    residual = noise((1, 3, 32, 48), 0)
    surrogate = surrogate_noise(residual, torch.ones(1, 1, 32, 48), make_generator(1))
    torch.testing.assert_close(
        torch.fft.rfft2(surrogate).abs()[..., 1:-1], torch.fft.rfft2(residual).abs()[..., 1:-1], rtol=1e-3, atol=1e-3
    )
    assert (surrogate - residual).abs().mean() > 0.5


def test_the_surrogate_keeps_the_correlation_of_the_channels():
    grey = noise((1, 1, 64, 64), 2).expand(-1, 3, -1, -1)
    surrogate = surrogate_noise(grey, torch.ones(1, 1, 64, 64), make_generator(3))
    torch.testing.assert_close(surrogate[:, 0], surrogate[:, 2])


def test_the_surrogate_is_as_strong_as_the_residual_in_every_place():
    local = torch.linspace(0.01, 0.1, 64).expand(1, 1, 64, 64)
    surrogate = surrogate_noise(local * noise((1, 3, 64, 64), 4), local, make_generator(5))
    ratio = float(surrogate[..., 48:].std() / surrogate[..., :16].std())
    expected = float(local[..., 48:].square().mean().sqrt() / local[..., :16].square().mean().sqrt())
    assert ratio == pytest.approx(expected, rel=0.1)


@pytest.fixture(scope="module")
def photograph():
    path = files("noisewise.demo") / "assets" / "lighthouse.png"
    return torch.from_numpy(read_image(Path(str(path))).to_float()).movedim(-1, 0)[None, :, 160:288, 320:448]


@pytest.mark.parametrize("spec", ["camera:gain=0.2,sigma=0.3+jpeg:quality=92", "correlated:sigma=6,blur=1.5+eight_bit"])
def test_on_correlated_noise_the_choice_loses_nothing_against_the_networks_own_level(spec, photograph):
    model = shipped_denoiser()
    noisy = parse_noise(spec)(photograph, generator=make_generator(0))
    with torch.inference_mode():
        estimate = model.estimate_noise_map(noisy)
        chosen, own = (model(noisy, estimate * k).image for k in (choose_level(model, noisy), 1.0))
    assert psnr(chosen, photograph) >= psnr(own, photograph) - 0.05


def test_the_choice_repeats():
    noisy = 0.5 + 0.05 * noise((1, 3, 48, 48), 8)
    choices = [choose_level(shipped_denoiser(), noisy, seed=3) for _ in range(2)]
    assert choices[0] == choices[1]
    assert choices[0] in CANDIDATES
