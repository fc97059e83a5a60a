"""The verb itself: what goes in comes out in kind, and on its own scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import noisewise
from noisewise.errors import ArgumentError
from noisewise.restore import denoise as module

SHAPES = [(40, 56), (40, 56, 1), (40, 56, 3)]
TENSOR_SHAPES = [(1, 40, 56), (3, 40, 56), (2, 1, 40, 56), (2, 3, 40, 56)]
DTYPES = ["uint8", "uint16", "float16", "float32", "float64"]


def unit_noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """White noise around mid-grey, in [0, 1]."""
    return np.random.default_rng(seed).normal(0.5, 0.1, shape).clip(0, 1)


def pixels(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    unit = unit_noise(shape, seed)
    if np.issubdtype(dtype, np.integer):
        return np.rint(unit * np.iinfo(dtype).max).astype(dtype)
    return unit.astype(dtype)


def tensor(shape: tuple[int, ...], dtype: str, seed: int = 0) -> torch.Tensor:
    if dtype == "bfloat16":
        return torch.from_numpy(unit_noise(shape, seed)).bfloat16()
    return torch.from_numpy(pixels(shape, dtype, seed))


def full_scale(dtype: str) -> float:
    return float(np.iinfo(dtype).max) if "int" in dtype else 1.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_come_back_in_kind(shape, dtype, tiny):
    image = pixels(shape, dtype)
    kept = image.copy()
    result = noisewise.denoise(image, 0.1, model=tiny)
    assert isinstance(result.image, np.ndarray)
    assert (result.image.shape, result.image.dtype) == (shape, image.dtype)
    np.testing.assert_array_equal(image, kept)
    change = np.abs(result.image.astype(float) - image).max() / full_scale(dtype)
    assert 0.001 < change < 0.5


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
@pytest.mark.parametrize("shape", TENSOR_SHAPES)
def test_tensors_come_back_in_kind(shape, dtype, tiny):
    image = tensor(shape, dtype)
    result = noisewise.denoise(image, 0.1, model=tiny)
    assert isinstance(result.image, torch.Tensor)
    assert (tuple(result.image.shape), result.image.dtype) == (shape, image.dtype)
    change = (result.image.double() - image.double()).abs().max().item() / full_scale(dtype)
    assert 0.001 < change < 0.5


@pytest.mark.parametrize("image", [pixels((20, 24, 3), "uint16"), tensor((2, 3, 20, 24), "uint16")], ids=type)
def test_the_residual_is_what_was_taken_away(image, tiny):
    result = noisewise.denoise(image, 0.1, model=tiny)
    expected = np.asarray(image).astype(np.float64) - np.asarray(result.image).astype(np.float64)
    assert result.residual.shape == image.shape
    assert str(result.residual.dtype).endswith("float32")
    np.testing.assert_array_equal(np.asarray(result.residual), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_and_tensors_agree(dtype, tiny):
    image = pixels((24, 32, 3), dtype)
    array = noisewise.denoise(image, model=tiny)
    batch = noisewise.denoise(torch.from_numpy(image).movedim(-1, 0), model=tiny)
    np.testing.assert_array_equal(batch.image.movedim(0, -1).numpy(), array.image)
    assert batch.sigma == array.sigma


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_strength_zero_is_the_identity(dtype, tiny):
    image = pixels((24, 32, 3), dtype)
    np.testing.assert_array_equal(noisewise.denoise(image, strength=0, model=tiny).image, image)


def test_a_narrow_16_bit_range_survives_strength_zero(tiny):
    image = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    np.testing.assert_array_equal(noisewise.denoise(image, strength=0, model=tiny).image, image)


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.9])
def test_strength_is_the_share_of_the_noise_that_is_removed(strength, tiny):
    image = pixels((24, 32, 3), "float32")
    whole = noisewise.denoise(image, 0.1, model=tiny)
    part = noisewise.denoise(image, 0.1, strength, model=tiny)
    np.testing.assert_allclose(part.residual, strength * whole.residual, atol=1e-6)


def test_a_told_level_is_used_and_reported(tiny):
    image = pixels((24, 32, 3), "float32")
    low, high = (noisewise.denoise(image, sigma, model=tiny) for sigma in (0.02, 0.2))
    assert low.sigma == pytest.approx(0.02)
    assert high.sigma == pytest.approx(0.2)
    assert np.abs(low.image - high.image).max() > 1e-4


def test_without_a_told_level_white_noise_gets_the_network_s_own(tiny):
    image = pixels((64, 64, 3), "float32")
    result = noisewise.denoise(image, model=tiny)
    assert result.diagnosis.is_white
    own = tiny.estimate_noise_map(torch.from_numpy(image).movedim(-1, 0)[None]).mean().item()
    assert result.sigma == pytest.approx(own, rel=1e-4)


def test_a_grey_image_is_the_mean_of_its_rgb_copy(tiny):
    grey = pixels((24, 32, 1), "float32")
    colour = noisewise.denoise(np.repeat(grey, 3, axis=-1), 0.1, model=tiny).image
    alone = noisewise.denoise(grey, 0.1, model=tiny).image
    np.testing.assert_allclose(alone[..., 0], colour.mean(-1), atol=1e-6)


def test_a_batch_is_its_images_one_by_one(tiny):
    batch = torch.stack([tensor((3, 24, 32), "float32", seed) for seed in range(3)])
    together = noisewise.denoise(batch, model=tiny)
    alone = [noisewise.denoise(image, model=tiny) for image in batch]
    assert torch.equal(together.image, torch.stack([result.image for result in alone]))
    assert together.sigmas == tuple(result.sigma for result in alone)
    assert together.diagnoses == tuple(result.diagnosis for result in alone)


@pytest.mark.parametrize("view", [np.s_[::2, ::-1], np.s_[:, 5:40, ::-1], np.s_[3:4, 7:8]], ids=str)
def test_views_are_as_good_as_copies(view, tiny):
    image = pixels((40, 56, 3), "uint8")[view]
    expected = noisewise.denoise(np.ascontiguousarray(image), 0.1, model=tiny).image
    np.testing.assert_array_equal(noisewise.denoise(image, 0.1, model=tiny).image, expected)


def test_read_only_pixels_and_gradients_do_not_matter(tiny):
    image = pixels((16, 24, 3), "float32")
    image.setflags(write=False)
    expected = noisewise.denoise(image, 0.1, model=tiny).image
    leaf = torch.from_numpy(image.copy()).movedim(-1, 0).requires_grad_()
    result = noisewise.denoise(leaf, 0.1, model=tiny).image
    assert not result.requires_grad
    np.testing.assert_array_equal(result.movedim(0, -1).numpy(), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 300), (9, 1, 3)])
def test_one_pixel_is_an_image(shape, tiny):
    result = noisewise.denoise(pixels(shape, "uint8"), model=tiny)
    assert result.image.shape == shape


@pytest.mark.parametrize("factor", [255.0, 4000.0, 1e6])
def test_floats_in_another_range_keep_their_scale(factor, tiny):
    image = pixels((64, 64, 3), "float64") * factor
    twice = noisewise.denoise(2 * image, 0.1, model=tiny)
    once = noisewise.denoise(image, 0.1, model=tiny)
    np.testing.assert_allclose(twice.image, 2 * once.image, rtol=1e-5)
    assert np.abs(once.residual).max() > 1e-3 * factor  # on a wrong scale next to nothing would be removed


def test_a_narrow_16_bit_range_is_denoised_on_its_own_scale(tiny):
    image = pixels((64, 64, 3), "float32")
    raw = np.rint(image * 4095).astype(np.uint16)
    result = noisewise.denoise(raw, 0.1, model=tiny)
    scaled = noisewise.denoise(raw / np.percentile(raw, 99.9), 0.1, model=tiny)
    expected = (scaled.image * np.percentile(raw, 99.9)).clip(0, None)
    np.testing.assert_allclose(result.image, expected, atol=1)


@pytest.mark.parametrize("value", [-1e7, -5.0, 0.0, 1e6])
def test_a_constant_image_stays_finite(value, tiny):
    result = noisewise.denoise(np.full((16, 16), value), model=tiny)
    assert np.isfinite(result.image).all()


REFUSED = {
    "bool": (np.zeros((8, 8), bool), "got bool; convert"),
    "int32": (np.zeros((8, 8), np.int32), "got int32; convert"),
    "complex": (np.zeros((8, 8), complex), "got complex128; convert"),
    "torch int64": (torch.zeros(3, 8, 8, dtype=torch.int64), "got torch.int64; convert"),
    "float8": (torch.zeros(3, 8, 8).to(torch.float8_e4m3fn), "float8_e4m3fn; convert"),
    "alpha": (np.zeros((8, 8, 4), np.uint8), "got 4; drop the alpha channel"),
    "channel first": (np.zeros((3, 8, 8), np.uint8), "last axis in NumPy"),
    "channel last": (torch.zeros(8, 8, 3), "before H x W in torch"),
    "empty": (np.zeros((0, 8, 3), np.uint8), "at least one pixel"),
    "empty batch": (torch.zeros(0, 3, 8, 8), "at least one pixel"),
    "NaN": (np.full((8, 8), np.nan), "finite.*nan_to_num"),
    "infinity": (torch.full((3, 8, 8), torch.inf), "finite.*nan_to_num"),
    "a row": (np.zeros(8), "one by one"),
    "a batch of arrays": (np.zeros((2, 8, 8, 3)), "one by one"),
    "a matrix of torch": (torch.zeros(8, 8), r"image\[None\]"),
    "a list": ([[0.0]], "numpy.asarray"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_denoised_is_refused_with_the_mend(case, tiny):
    image, message = REFUSED[case]
    with pytest.raises(ArgumentError, match=message):
        noisewise.denoise(image, model=tiny)


@pytest.mark.parametrize("sigma", [-0.1, 25.0, float("nan")])
def test_a_level_off_the_unit_scale_is_refused(sigma, tiny):
    with pytest.raises(ArgumentError, match="sigma=25 / 255"):
        noisewise.denoise(np.zeros((8, 8)), sigma, model=tiny)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_that_is_no_share_is_refused(strength, tiny):
    with pytest.raises(ArgumentError, match="strength"):
        noisewise.denoise(np.zeros((8, 8)), strength=strength, model=tiny)


def test_progress_rises_to_one(tiny, monkeypatch):
    monkeypatch.setattr(module, "_CORE", 16)
    shares: list[float] = []
    noisewise.denoise(pixels((40, 40, 3), "uint8"), 0.1, model=tiny, progress=shares.append)
    assert len(shares) == 9
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_the_shipped_network_removes_most_of_the_noise():
    rows, columns = np.mgrid[0:96, 0:96] / 96
    clean = np.stack([0.3 + 0.4 * rows, 0.5 + 0.2 * (columns > 0.5), 0.7 - 0.4 * columns], axis=-1)
    noisy = clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape)
    result = noisewise.denoise(noisy)
    before, after = (np.square(image - clean).mean() for image in (noisy, result.image))
    assert after < before / 10
    assert 15 < 255 * result.sigma < 35


def test_eight_views_do_not_care_which_way_the_image_lies(tiny):
    image = tensor((3, 40, 56), "float32")

    def difference(quality):
        mirrored, straight = (
            noisewise.denoise(x, 0.01, model=tiny, quality=quality).image for x in (image.flip(-1), image)
        )
        return (mirrored.flip(-1) - straight).abs().max().item()

    assert difference("balanced") < 1e-3 < difference("fast")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "self2sefl"}, "expected a method from network"),
        ({"quality": "good"}, "expected a quality from fast"),
    ],
)
def test_methods_and_qualities_that_do_not_exist(options, message):
    with pytest.raises(ArgumentError, match=message):
        noisewise.denoise(np.zeros((16, 16), np.uint8), **options)


def impatient(share):
    if share > 0.5:
        raise KeyboardInterrupt


def test_ctrl_c_before_anything_is_worth_keeping(monkeypatch):
    from noisewise.methods.single_image import Self2Self

    monkeypatch.setattr(Self2Self, "steps", 16)
    with pytest.raises(KeyboardInterrupt):
        noisewise.denoise(unit_noise((40, 56, 3)).astype("float32"), progress=impatient, method="self2self")


def test_ctrl_c_keeps_what_was_learnt_of_the_last_image(monkeypatch):
    from noisewise.methods.single_image import GainTuning

    monkeypatch.setattr(GainTuning, "steps", 4)
    result = noisewise.denoise(tensor((1, 3, 40, 56), "float32"), method="gain_tuning", progress=impatient)
    assert result.interrupted
    with pytest.raises(KeyboardInterrupt):
        noisewise.denoise(tensor((2, 3, 40, 56), "float32"), method="gain_tuning", progress=impatient)


def test_a_learner_refuses_what_it_cannot_finish():
    with pytest.raises(ArgumentError, match=r"at most 2\.1 million pixels.*crop the image"):
        noisewise.denoise(np.zeros((1500, 1500), np.uint8), method="self2self")
