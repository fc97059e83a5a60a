"""Training without clean images: neighbours, their loss, and what a short training does."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch

from noisewise._rng import initialised, make_generator
from noisewise.data.patches import PatchSampler, load_unit
from noisewise.methods.nvt.noisy_only import (
    NoisyBatch,
    NoisyCrops,
    draw_neighbours,
    neighbour_loss,
    subsampled,
    train_noisy_only,
)
from noisewise.models import BlindDenoiser, Denoised
from noisewise.train import Schedule


def tiny():
    return initialised(lambda: BlindDenoiser((8, 8), (1, 1), 8), 0)


def numbered(count, height, width):
    """Every pixel of a channel has a value of its own."""
    return torch.arange(count * 2 * height * width, dtype=torch.float64).reshape(count, 2, height, width)


def test_every_cell_gives_two_pixels_that_share_a_side_and_all_pairs_occur():
    images = numbered(3, 12, 20)
    first, second = draw_neighbours(images, make_generator(0))
    a, b = subsampled(images, first), subsampled(images, second)
    assert a.shape == b.shape == (3, 2, 6, 10)
    rows, columns = (a // 20 % 12, a % 20), (b // 20 % 12, b % 20)
    apart = (rows[0] - columns[0]).abs() + (rows[1] - columns[1]).abs()
    assert (apart == 1).all()
    cells = torch.arange(6)[:, None].expand(6, 10), torch.arange(10).expand(6, 10)
    for row, column in (rows, columns):
        assert torch.equal((row // 2).long()[0, 0], cells[0])
        assert torch.equal((column // 2).long()[0, 0], cells[1])
    assert len(set(zip(first.flatten().tolist(), second.flatten().tolist(), strict=True))) == 8


class Perfect(torch.nn.Module):
    """Knows the scene, a plane of one value."""

    def forward(self, noisy):
        return Denoised(torch.full_like(noisy, 0.5), noisy[:, :1])


class Nothing(torch.nn.Module):
    def forward(self, noisy):
        return Denoised(noisy, noisy[:, :1])


def test_the_loss_of_the_truth_and_of_doing_nothing_in_variances_of_the_noise():
    noisy = 0.5 + 0.1 * torch.randn(4, 3, 64, 64, generator=make_generator(1))
    losses = [float(neighbour_loss(model, NoisyBatch(noisy), make_generator(0))) for model in (Perfect(), Nothing())]
    assert losses[0] == pytest.approx(3 * 0.01, rel=0.05)
    assert losses[1] == pytest.approx(2 * 0.01, rel=0.05)  # the second term vanishes


SCENES = [np.kron(np.random.default_rng(index).random((6, 6)), np.ones((16, 16))) for index in range(3)]


@pytest.fixture
def noisy_files(tmp_path):
    for index, scene in enumerate(SCENES):
        noisy = 5000 * scene + 1000 * np.random.default_rng(9 + index).standard_normal(scene.shape) + 6000
        tifffile.imwrite(tmp_path / f"{index}.tif", noisy.round().astype(np.uint16))
    return sorted(tmp_path.glob("*.tif"))


def error(model, path, scene):
    """Mean squared distance to the clean scene, in units of the noise's variance."""
    noisy, bright = load_unit(path), np.percentile(tifffile.imread(path), 99.9)
    clean = torch.from_numpy((5000 * scene + 6000) / bright).float()
    with torch.no_grad():
        return float((model(noisy[None]).image[0, 0] - clean).square().mean()) / (1000 / bright) ** 2


def test_deep_files_keep_their_depth_on_the_scale_of_denoise(noisy_files):
    pixels = tifffile.imread(noisy_files[0])
    unit = load_unit(noisy_files[0])
    assert unit.shape == (3, 96, 96)
    bright = np.percentile(pixels[:: 96 // 512 or 1], 99.9)
    torch.testing.assert_close(unit[0].double(), torch.from_numpy(pixels / bright), rtol=1e-5, atol=0)


def crops(files, steps=20):
    schedule = Schedule(steps=steps, batch=4, patch=32, learning_rate=3e-3, warmup=2, decay=0.5, ema=0.5)
    return NoisyCrops(PatchSampler(files, 32, load=load_unit), schedule, seed=0)


def test_a_short_training_removes_noise(noisy_files, tmp_path):
    start = tiny()
    trained = train_noisy_only(start, crops(noisy_files, steps=120), tmp_path / "a")
    before, after = (error(model, noisy_files[0], SCENES[0]) for model in (start, trained))
    assert before == pytest.approx(1, abs=0.1)
    assert after < 0.75


def test_an_interrupted_training_resumes_bit_for_bit_and_leaves_its_start_alone(noisy_files, tmp_path):
    start = tiny()
    unbroken = train_noisy_only(start, crops(noisy_files), tmp_path / "a")

    def stop(step, _):
        if step == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_noisy_only(start, crops(noisy_files), tmp_path / "b", progress=stop, save_every=5)
    resumed = train_noisy_only(start, crops(noisy_files), tmp_path / "b", save_every=5)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in unbroken.state_dict().items())
    assert all(torch.equal(value, tiny().state_dict()[name]) for name, value in start.state_dict().items())
