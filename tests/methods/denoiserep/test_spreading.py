"""Chunks that other processes see: what they find is small, can be sent, and adds up to what one process finds."""

from __future__ import annotations

import os
import pickle
import signal

import pytest
import torch
from hardening import NOISE, hardened
from small_networks import Attending, Residual, convolutional, images
from torch import nn
from torchvision.utils import save_image

from noisewise.data import ResizedImages, map_on_ray
from noisewise.errors import ArgumentError
from noisewise.methods.denoiserep import attach


def assert_same(handle, other, tolerance=0.0):
    entries, expected = handle.new_weights(), other.new_weights()
    assert entries.keys() == expected.keys()
    for name, value in entries.items():
        torch.testing.assert_close(value, expected[name], rtol=tolerance, atol=tolerance)


def sent_backwards(function, parts):
    """As by workers: function and parts go through bytes, and the last part is done first."""
    parts = list(parts)
    found = [pickle.loads(pickle.dumps(function))(pickle.loads(pickle.dumps(part))) for part in reversed(parts)]
    return pickle.loads(pickle.dumps(found[::-1]))


@pytest.fixture
def photographs(tmp_path):
    for index, pixels in enumerate(images(9, side=16)):
        save_image(pixels, tmp_path / f"{index}.png")
    return ResizedImages(sorted(tmp_path.glob("*.png")), (16, 16))


@pytest.mark.parametrize("downstream", [False, True])
@pytest.mark.parametrize("build", [convolutional, Attending, lambda: Residual(adds=True, rectifies=True)])
def test_chunks_done_in_any_order_by_others_give_the_same_bits(build, downstream):
    model, pixels = build().double().eval(), images(11, side=16)
    before, options = pickle.dumps(model), {"rows_per_dimension": 1, "chunk": 4, "downstream": downstream}
    here = hardened(model, pixels, **options)
    assert_same(hardened(model, pixels, **options, spread=sent_backwards), here)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("chunk", [None, 4, 20])
def test_files_are_what_their_pixels_are(photographs, chunk):
    model = convolutional(torch.float32)
    loaded = hardened(model, photographs.load(), chunk=chunk)
    assert_same(hardened(model, photographs, chunk=chunk), loaded)
    assert_same(hardened(model, list(photographs.split(4)), chunk=chunk), loaded, tolerance=1e-6)


def test_what_is_sent_has_no_more_images_than_its_chunk():
    sent = []

    def weighed(function, parts):
        parts = list(parts)
        sent.extend([len(pickle.dumps(function)), *(len(pickle.dumps(part)) for part in parts)])
        return map(function, parts)

    pixels = images(64, side=32, dtype=torch.float32)
    hardened(nn.Sequential(nn.Conv2d(3, 2, 3)).eval(), pixels, chunk=8, spread=weighed)
    assert len(sent) == 9
    assert max(sent[1:]) < pixels.nbytes / 4
    assert sent[0] < pixels.nbytes / 16


def test_what_is_sent_does_not_grow_with_the_equations():
    sent = []

    def weighed(function, parts):
        sent.append(len(pickle.dumps(function)))
        return map(function, parts)

    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    hardened(model, images(8, side=16, dtype=torch.float32), chunk=4, spread=weighed, downstream=True)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    assert max(sent) < 4 * weights + 50_000  # old and new ones, and corrections in double precision


class Skipping(nn.Module):
    """A network that does without its second layer where a batch has a dark image."""

    def __init__(self, last: float) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), last

    def forward(self, x):
        found = self.first(x)
        return self.second(found) if x.mean() > self.last else found


@pytest.mark.parametrize("dark", [slice(4, 8), slice(8, 12)])
def test_a_chunk_that_does_without_a_layer_adds_nothing_to_it(dark):
    pixels = images(12, side=16)
    pixels[dark] *= 0.01
    handle = hardened(Skipping(0.2).double().eval(), pixels, chunk=4, rows_per_dimension=10_000)
    assert handle.fits["second"].rows == 8 * 2 * 12 * 12
    assert handle.fits["first"].rows == 12 * 2 * 14 * 14


def test_spreading_needs_the_size_of_a_chunk():
    with pytest.raises(ArgumentError, match="chunk=32"):
        hardened(convolutional(), images(4), spread=sent_backwards)


class Deadly(ResizedImages):
    """Files that end the worker that loads them, the first time."""

    def load(self):
        mark = self.paths[0].with_suffix(".begun")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_worker_killed_half_way_through_a_fit_loses_no_image(photographs):
    model = convolutional(torch.float32)
    alone = attach(model, mode="paired").fit_paired(photographs, NOISE, chunk=3)
    first, second, third = photographs.split(3)
    images = [first, Deadly(second.paths, second.size), third]
    with map_on_ray() as spread:
        together = attach(model, mode="paired").fit_paired(images, NOISE, chunk=3, spread=spread)
    assert second.paths[0].with_suffix(".begun").exists()
    assert_same(together, alone, tolerance=1e-3)  # other threads round otherwise
    assert [fit.rows for fit in together.fits.values()] == [fit.rows for fit in alone.fits.values()]
