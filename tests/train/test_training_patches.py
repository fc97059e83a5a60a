"""Random crops of photographs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noisewise._rng import make_generator
from noisewise.data.patches import PatchSampler, load_rgb
from noisewise.errors import DatasetError


@pytest.fixture
def numbered(tmp_path):
    """A photograph each of whose pixels has a colour of its own: red is the row, green the column."""
    rows, columns = np.indices((7, 9), dtype=np.uint8)
    path = tmp_path / "numbered.png"
    Image.fromarray(np.stack([rows, columns, 0 * rows], axis=-1)).save(path)
    return path


def orientations(square):
    turned = [torch.rot90(square, turns, (-2, -1)) for turns in range(4)]
    return [*turned, *(patch.flip(-1) for patch in turned)]


def test_a_photograph_is_loaded_as_it_is(numbered):
    assert torch.equal(load_rgb(numbered), torch.from_numpy(np.array(Image.open(numbered))).movedim(-1, 0))


def test_grey_and_transparent_files_become_rgb(tmp_path):
    for mode in ("L", "RGBA", "P"):
        path = tmp_path / f"{mode}.png"
        Image.new(mode, (5, 4)).save(path)
        assert load_rgb(path).shape == (3, 4, 5)


def test_every_patch_is_a_crop_in_one_of_eight_orientations_and_all_occur(numbered):
    patches = (PatchSampler([numbered], 3).draw(600, make_generator(0)) * 255).round()
    seen = set()
    for patch in patches:
        top, left = int(patch[0].min()), int(patch[1].min())
        crop = load_rgb(numbered)[:, top : top + 3, left : left + 3].float()
        matches = [index for index, turned in enumerate(orientations(crop)) if torch.equal(turned, patch)]
        assert len(matches) == 1
        seen.add((top, left, matches[0]))
    assert {place[:2] for place in seen} == {(top, left) for top in range(5) for left in range(7)}
    assert {place[2] for place in seen} == set(range(8))


def steepness(patch):
    """Mean difference of neighbours in the middle, where an enlarged ramp is not bent by the border."""
    middle = patch[0, 8:-8, 8:-8]
    return max(middle.diff(dim=dim).abs().mean().item() for dim in (0, 1))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_stated_share_is_enlarged_up_to_three_times(tmp_path, share):
    path = tmp_path / "ramp.png"
    Image.fromarray(np.tile(np.arange(0, 240, 3, dtype=np.uint8), (80, 1))).save(path)
    patches = PatchSampler([path], 32, enlarged=share).draw(400, make_generator(0))
    slopes = np.array([steepness(patch) * 255 / 3 for patch in patches])
    assert slopes.min() >= 0.3
    assert slopes.max() <= 1.05
    assert np.mean(slopes < 0.97) == pytest.approx(share, abs=0.07)
    assert (slopes.min() < 0.4) == (share > 0)


def test_patches_are_floats_between_0_and_1(photographs):
    patches = PatchSampler(photographs, 16).draw(8, make_generator(0))
    assert patches.shape == (8, 3, 16, 16)
    assert patches.dtype == torch.float32
    assert 0 <= patches.min() < patches.max() <= 1


def test_the_generator_alone_decides(photographs):
    sampler = PatchSampler(photographs, 16)
    first, second, other = (sampler.draw(4, make_generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_every_photograph_is_drawn_from(tmp_path):
    paths = [tmp_path / f"{value}.png" for value in (10, 20, 30)]
    for path in paths:
        Image.new("RGB", (8, 8), (int(path.stem),) * 3).save(path)
    values = PatchSampler(paths, 8).draw(100, make_generator(0)).mul(255).round().unique()
    assert values.tolist() == [10, 20, 30]


def test_a_photograph_as_large_as_a_patch_is_enough(tmp_path):
    path = tmp_path / "small.png"
    Image.new("RGB", (8, 8)).save(path)
    assert PatchSampler([path], 8).draw(2, make_generator(0)).shape == (2, 3, 8, 8)


def test_no_photograph_is_refused():
    with pytest.raises(DatasetError, match="at least one photograph"):
        PatchSampler([], 8)


def test_a_photograph_smaller_than_a_patch_is_refused_and_named(numbered):
    with pytest.raises(DatasetError, match=r"numbered\.png is 9x7, smaller than a patch of 8"):
        PatchSampler([numbered], 8)


def test_all_photographs_smaller_than_a_patch_are_named_together(numbered, photographs):
    twin = Path(shutil.copy(numbered, numbered.with_name("twin.png")))
    with pytest.raises(DatasetError) as refused:
        PatchSampler([*photographs, numbered, twin], 8)
    assert f"2 images are smaller than a patch of 8: {numbered}, {twin}; leave" in str(refused.value)
