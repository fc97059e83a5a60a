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


class Knower(Keeper):
    """At full resolution it takes away nothing, at half the resolution all that differs from a scene it knows."""

    def __init__(self, scene):
        super().__init__()
        self.scene = F.avg_pool2d(scene, 2)

    def restore(self, noisy, noise_map, *, views=2):
        return noisy if noisy.shape[-1] > self.scene.shape[-1] else self.scene

    def estimate_noise_map(self, noisy):
        return torch.full_like(noisy[:, :1], 0.05)


def test_where_the_coarse_answer_is_right_about_half_of_it_is_taken(photograph):
    """The half that stays and the one that is put on again are alike and independent: <n, g + n> / |g + n|^2 = 1/2."""
    noisy = noisy_of(photograph, "correlated:sigma=10,blur=3")
    assert choose_share(Knower(photograph), noisy, 1.0) == pytest.approx(0.5, abs=0.1)


def test_where_half_the_resolution_has_no_use_nothing_is_taken():
    """A chequerboard is nothing but grey at half the resolution, and what is taken there is scene."""
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    board = (0.5 + 0.3 * ((rows // 3 + columns // 3) % 2 - 0.5)).expand(1, 3, -1, -1)
    noisy = noisy_of(board, "gaussian:sigma=4")
    assert choose_share(shipped_denoiser(), noisy, 1.0) < 0.25


def test_the_share_repeats(photograph):
    noisy = noisy_of(photograph, "camera:gain=0.2,sigma=0.3+jpeg:quality=95")
    shares = [choose_share(shipped_denoiser(), noisy, 1.0, seed=1) for _ in range(2)]
    assert shares[0] == shares[1]


def test_on_blotches_balanced_is_better_than_its_views_alone(photograph):
    noisy = noisy_of(photograph, "correlated:sigma=10,blur=3+jpeg:quality=90")
    model = shipped_denoiser()
    with torch.inference_mode():
        level = model.estimate_noise_map(noisy)
        alone = max(float(psnr(model.restore(noisy, k * level, views=8), photograph)) for k in (0.8, 1.0, 1.3))
    assert psnr(noisewise.denoise(noisy, quality="balanced").image, photograph) > alone + 0.1


@pytest.mark.parametrize("told", [None, 20 / 255])
def test_white_noise_and_a_told_level_need_no_rehearsal(told, photograph, monkeypatch):
    def refuse(*_):
        raise AssertionError("a rehearsal was held")

    for name in ("choose_level", "choose_share"):
        monkeypatch.setattr(f"noisewise.restore.denoise.{name}", refuse)
    noisy = photograph + 20 / 255 * torch.randn(photograph.shape, generator=make_generator(0))
    assert noisewise.denoise(noisy, told, quality="balanced").image.isfinite().all()


def test_a_tiled_image_is_that_of_one_piece(photograph, monkeypatch):
    from noisewise.restore import denoise as module

    noisy = np.rint(noisy_of(photograph, "correlated:sigma=10,blur=3")[0].movedim(0, -1).numpy() * 255).astype(np.uint8)
    whole = noisewise.denoise(noisy, quality="balanced").image
    monkeypatch.setattr(module, "_CORE", 64)
    tiled = noisewise.denoise(noisy, quality="balanced").image
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() <= 2
