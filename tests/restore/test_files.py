"""A noisy file in, a clean file out."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

import noisewise
from noisewise.data import read_image
from noisewise.errors import OutputError
from noisewise.restore.files import denoise_file, read_restored, residual_path


def grey_file(path, dtype, peak):
    pixels = np.random.default_rng(0).normal(0.5, 0.05, (48, 64)).clip(0, 1) * peak
    tifffile.imwrite(path, pixels.astype(dtype))
    return path


@pytest.mark.parametrize(("dtype", "peak"), [("uint8", 255), ("uint16", 65535), ("uint16", 4095), ("float32", 1)])
def test_the_file_holds_what_denoise_returns(dtype, peak, tmp_path, tiny):
    source = grey_file(tmp_path / "a.tiff", dtype, peak)
    denoise_file(source, tmp_path / "b.tiff", sigma=0.05, model=tiny)
    expected = noisewise.denoise(tifffile.imread(source), 0.05, model=tiny).image
    written = tifffile.imread(tmp_path / "b.tiff")
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, expected)


@pytest.mark.parametrize(("dtype", "peak"), [("uint8", 255), ("uint16", 4095), ("float32", 1), ("float32", 1000)])
def test_the_proof_does_not_depend_on_the_scale_of_the_file(dtype, peak, tmp_path, tiny):
    source = grey_file(tmp_path / "a.tiff", dtype, peak)
    details = denoise_file(source, tmp_path / "b.tiff", sigma=0.05, model=tiny)
    reference = denoise_file(grey_file(tmp_path / "r.tiff", "float32", 1), tmp_path / "s.tiff", sigma=0.05, model=tiny)
    for key in ("residual_whiteness", "residual_signal_correlation"):
        assert details[key] == pytest.approx(reference[key], abs=0.1)


def test_two_files_tell_what_was_done(tmp_path, tiny):
    source = grey_file(tmp_path / "a.tiff", "uint16", 4095)
    details = denoise_file(source, tmp_path / "b.tiff", sigma=0.05, model=tiny)
    result = read_restored(source, tmp_path / "b.tiff")
    assert result.proof() == {key: details[key] for key in result.proof()}
    assert result.diagnosis.lines() == details["found"]
    noisy, clean = tifffile.imread(source).astype(float), tifffile.imread(tmp_path / "b.tiff").astype(float)
    np.testing.assert_allclose(result.residual, (noisy - clean) / np.percentile(noisy, 99.9), atol=1e-6)


def test_the_report_shows_the_pixels_as_8_bit(tmp_path, tiny):
    source = grey_file(tmp_path / "a.tiff", "uint16", 65535)
    denoise_file(source, tmp_path / "b.tiff", sigma=0.05, model=tiny)
    shown = read_restored(source, tmp_path / "b.tiff").report_image("a")
    np.testing.assert_array_equal(shown.before, np.rint(tifffile.imread(source) / 257).astype(np.uint8))
    np.testing.assert_array_equal(shown.after, np.rint(tifffile.imread(tmp_path / "b.tiff") / 257).astype(np.uint8))
    assert shown.autocorrelation.shape == (17, 17)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_a_tiny_file_has_a_report_too(size, tmp_path, tiny):
    Image.new("RGB", size, (9, 99, 199)).save(tmp_path / "a.png")
    denoise_file(tmp_path / "a.png", tmp_path / "b.png", residual=True, model=tiny)
    assert read_restored(tmp_path / "a.png", tmp_path / "b.png").report_image("a").after.shape[1::-1] == size


def test_transparency_and_metadata_are_kept(tmp_path, tiny):
    picture = Image.new("RGBA", (24, 16), (100, 150, 200, 90))
    picture.save(tmp_path / "a.png", dpi=(300, 300))
    denoise_file(tmp_path / "a.png", tmp_path / "b.png", model=tiny)
    before, after = read_image(tmp_path / "a.png"), read_image(tmp_path / "b.png")
    np.testing.assert_array_equal(after.alpha, before.alpha)
    assert after.resolution == before.resolution


@pytest.mark.parametrize("taken", ["b.png", "b.png.residual.png"])
def test_nothing_is_written_where_one_output_exists(taken, tmp_path, tiny):
    Image.new("RGB", (24, 16)).save(tmp_path / "a.png")
    (tmp_path / taken).write_bytes(b"mine")
    with pytest.raises(OutputError, match=f"{taken}: it exists already"):
        denoise_file(tmp_path / "a.png", tmp_path / "b.png", residual=True, model=tiny)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", taken}
    assert (tmp_path / taken).read_bytes() == b"mine"


def test_residuals_of_namesakes_do_not_meet(tmp_path):
    assert residual_path(tmp_path / "a.jpg") != residual_path(tmp_path / "a.png")


def test_a_grey_photograph_saved_as_webp_which_knows_no_grey_can_be_read_back(tmp_path, tiny):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64), dtype=np.uint8)).save(tmp_path / "a.png")
    denoise_file(tmp_path / "a.png", tmp_path / "b.webp", sigma=0.05, model=tiny)
    back = read_restored(tmp_path / "a.png", tmp_path / "b.webp")
    assert back.residual.shape == (48, 64)


def test_a_residual_whose_photograph_could_not_be_written_is_taken_away(tmp_path, tiny, monkeypatch):
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "a.png")
    target, written = tmp_path / "b.png", []

    def fails_the_second_time(image, path, *, overwrite):
        written.append(path)
        if path == target:
            raise OutputError("no space")
        path.touch()

    monkeypatch.setattr("noisewise.restore.files.write_image", fails_the_second_time)
    with pytest.raises(OutputError, match="no space"):
        denoise_file(tmp_path / "a.png", target, sigma=0.05, residual=True, model=tiny)
    assert written == [residual_path(target), target]
    assert not residual_path(target).exists()
