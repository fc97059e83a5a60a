"""Coarse grain is removed at half the resolution, as much of it as the rehearsal says."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import noisewise
from noisewise._rng import make_generator
from noisewise.data import read_image
from noisewise.measure.image import psnr
from noisewise.models import BlindDenoiser
from noisewise.noise import parse_noise
from noisewise.restore.coarse import choose_share, coarse_grain
from noisewise.restore.denoise import shipped_denoiser


@pytest.fixture(scope="module")
def photograph():
    """Softer than a small photograph is, as those of large sensors are."""
    path = files("noisewise.demo") / "assets" / "lighthouse.png"
    sharp = torch.from_numpy(read_image(Path(str(path))).to_float()).movedim(-1, 0)[None, :, 160:256, 320:416]
    return F.interpolate(sharp, scale_factor=2, mode="bicubic").clamp(0, 1)


def noisy_of(clean, spec):
    saved = parse_noise(spec)(clean, generator=make_generator(0)).clamp(0, 1)
    return (saved * 255).round() / 255


class Keeper(BlindDenoiser):
    """A network that takes nothing away."""

    def __init__(self):
        super().__init__((8, 8), (1, 1), 8)

    def estimate_noise_map(self, noisy):
        return noisy.mean(1, keepdim=True)

    def restore(self, noisy, noise_map, *, views=2):
        return noisy


@pytest.mark.parametrize("sides", [(6, 8), (7, 5)])
def test_a_network_that_keeps_all_has_the_coarse_part_of_what_was_removed(sides):
    noisy, clean = torch.rand(2, 1, 3, *sides, generator=make_generator(0))
    grain = coarse_grain(Keeper(), noisy, clean)
    padded = F.pad(clean - noisy, (0, sides[1] % 2, 0, sides[0] % 2), "replicate")
    cells = padded.unfold(-2, 2, 2).unfold(-2, 2, 2).mean((-1, -2))
    expected = F.interpolate(cells, scale_factor=2.0, mode="bilinear")[..., : sides[0], : sides[1]]
    torch.testing.assert_close(grain, expected)


def test_the_share_repeats_and_stays_within_a_half(photograph):
    noisy = noisy_of(photograph, "correlated:sigma=10,blur=3+jpeg:quality=90")
    shares = [choose_share(shipped_denoiser(), noisy, 1.0, seed=1) for _ in range(2)]
    assert shares[0] == shares[1]
    assert 0 <= shares[0] <= 0.5


def test_on_blotches_balanced_is_better_than_its_views_alone(photograph):
    noisy = noisy_of(photograph, "correlated:sigma=10,blur=3+jpeg:quality=90")
    fast, balanced = (noisewise.denoise(noisy, quality=quality).image for quality in ("fast", "balanced"))
    assert psnr(balanced, photograph) > psnr(fast, photograph) + 0.1


def test_white_noise_has_no_coarse_grain(photograph):
    noisy = photograph + 20 / 255 * torch.randn(photograph.shape, generator=make_generator(0))
    model = shipped_denoiser()
    balanced = noisewise.denoise(noisy, quality="balanced").image
    with torch.inference_mode():
        alone = model.restore(noisy, model.estimate_noise_map(noisy), views=8)
    assert (balanced - alone).abs().max() < 0.02  # bfloat16 where the processor has it


def test_a_tiled_image_is_that_of_one_piece(photograph, monkeypatch):
    from noisewise.restore import denoise as module

    noisy = np.rint(noisy_of(photograph, "correlated:sigma=10,blur=3")[0].movedim(0, -1).numpy() * 255).astype(np.uint8)
    whole = noisewise.denoise(noisy, quality="balanced").image
    monkeypatch.setattr(module, "_CORE", 64)
    tiled = noisewise.denoise(noisy, quality="balanced").image
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() <= 2
