"""What is read is what other libraries wrote, and what is written is what other libraries read."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from PIL import ExifTags, Image, PngImagePlugin

from noisewise.data import ImageFile, read_image, write_image
from noisewise.errors import ArgumentError

INTEGERS = [np.uint8, np.uint16]
FLOATS = [np.float32, np.float64]


def random_samples(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    if np.issubdtype(dtype, np.floating):
        return rng.normal(0.5, 2, shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def read_with_opencv(path: Path) -> np.ndarray:
    samples = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    return samples if samples.ndim == 2 else samples[..., [2, 1, 0, 3][: samples.shape[2]]]


def exif_of(block: bytes) -> tuple[dict, dict, dict]:
    parsed = Image.Exif()
    parsed.load(block)
    exposure, place = parsed.get_ifd(ExifTags.IFD.Exif), parsed.get_ifd(ExifTags.IFD.GPSInfo)
    pointers = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
    return {tag: parsed[tag] for tag in parsed if tag not in pointers}, dict(exposure), dict(place)


# --- round trips -----------------------------------------------------------------------------------------------------

SHAPES = [(5, 7), (5, 7, 2), (5, 7, 3), (5, 7, 4), (1, 1), (1, 1, 3), (1, 1, 4), (2, 1, 3), (3, 4, 3), (4, 1), (3, 3)]
LOSSLESS = (
    [(".png", shape, dtype) for shape in SHAPES for dtype in INTEGERS]
    + [(".tif", shape, dtype) for shape in SHAPES for dtype in INTEGERS + FLOATS]
    + [(".webp", shape, np.uint8) for shape in SHAPES if shape[2:] in ((3,), (4,))]
)


@pytest.mark.parametrize(("suffix", "shape", "dtype"), LOSSLESS)
def test_lossless_formats_keep_every_sample(suffix, shape, dtype, tmp_path, rng):
    samples = random_samples(rng, shape, dtype)
    if suffix == ".webp" and shape[2:] == (4,):
        samples[0, 0, 3] = 127  # an opaque WebP has no alpha channel
    write_image(ImageFile.from_samples(samples), tmp_path / f"a{suffix}")
    back = read_image(tmp_path / f"a{suffix}")
    assert back.samples.dtype == dtype
    assert_array_equal(back.samples, samples)


@pytest.mark.parametrize(("suffix", "fmt"), [(".png", "png"), (".jpg", "jpeg"), (".tiff", "tiff"), (".webp", "webp")])
def test_metadata_survives_a_round_trip(suffix, fmt, tmp_path, rng, icc, exif):
    image = ImageFile(random_samples(rng, (6, 9, 3), np.uint8), icc=icc, exif=exif, resolution=(300.0, 150.0))
    for name, written in (("a", image), ("b", None)):
        write_image(written or read_image(tmp_path / f"a{suffix}"), tmp_path / f"{name}{suffix}")
    back = read_image(tmp_path / f"b{suffix}")
    assert (back.format, back.height, back.width, back.icc) == (fmt, 6, 9, icc)
    assert exif_of(back.exif) == exif_of(exif)
    if fmt != "webp":
        assert_allclose(back.resolution, (300, 150), rtol=1e-4)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_pillow_finds_the_metadata(suffix, tmp_path, rng, icc, exif):
    pixels = random_samples(rng, (6, 9, 3), np.uint8)
    write_image(ImageFile(pixels, icc=icc, exif=exif), tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as picture:
        assert picture.info["icc_profile"] == icc
        found = picture.getexif()
        assert found[ExifTags.Base.Make] == "Maker"
        assert found[ExifTags.Base.Orientation] == 6
        assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 800
        assert found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (51.0, 30.0, 12.5)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_exif_fields_move_out_of_and_into_any_tiff(byteorder, bigtiff, tmp_path):
    tags = [(271, 2, 6, "Maker", True), (274, 3, 1, 6, True), (306, 2, 20, "2024:01:02 03:04:05", True)]
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((4, 5), np.uint8), byteorder=byteorder, bigtiff=bigtiff, extratags=tags
    )
    image = read_image(tmp_path / "a.tif")
    write_image(image, tmp_path / "b.tif")
    fields, _, _ = exif_of(image.exif)
    assert {tag: fields[tag] for tag in (271, 274, 306)} == {271: "Maker", 274: 6, 306: "2024:01:02 03:04:05"}
    assert not {256, 257, 273, 279} & fields.keys()
    assert read_image(tmp_path / "b.tif").exif == image.exif


def test_tifffile_finds_exposure_and_maker_note(tmp_path, exif):
    write_image(ImageFile(np.zeros((4, 5, 3), np.uint16), exif=exif), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        found = file.pages[0].tags[34665].value
    assert found["MakerNote"] == b"\x01\x02 a note of odd length \xff"
    assert found["ExposureTime"] == (1, 125)
    assert found["ExposureBiasValue"] == (-1, 3)


def test_orientation_is_kept_as_a_tag_and_pixels_are_not_rotated(tmp_path, rng, exif):
    pixels = random_samples(rng, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert_array_equal(image.pixels, pixels)
    write_image(image, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.getexif()[ExifTags.Base.Orientation] == 6


def test_png_gamma_survives(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", (100000).to_bytes(4, "big"))
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png", pnginfo=info)
    write_image(read_image(tmp_path / "a.png"), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.info["gamma"] == 1.0


# --- files of other libraries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "suffix", "dtype"),
    [
        (shape, suffix, dtype)
        for shape in [(5, 7), (5, 7, 3), (5, 7, 4)]
        for suffix in (".png", ".tif")
        for dtype in INTEGERS
        if (len(shape), shape[-1], suffix, dtype) != (3, 4, ".tif", np.uint8)  # which OpenCV premultiplies
    ],
)
def test_opencv_and_noisewise_agree(shape, suffix, dtype, tmp_path, rng):
    samples = random_samples(rng, shape, dtype)
    write_image(ImageFile.from_samples(samples), tmp_path / f"ours{suffix}")
    assert_array_equal(read_with_opencv(tmp_path / f"ours{suffix}"), samples)
    theirs = samples if samples.ndim == 2 else samples[..., [2, 1, 0, 3][: shape[2]]]
    cv2.imwrite(str(tmp_path / f"theirs{suffix}"), theirs)
    assert_array_equal(read_image(tmp_path / f"theirs{suffix}").samples, samples)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_of_every_pillow_mode_is_read_as_pillow_shows_it(mode, tmp_path, rng):
    colour = Image.fromarray(random_samples(rng, (8, 9, 3), np.uint8))
    if mode == "I;16":
        picture = Image.fromarray(random_samples(rng, (8, 9), np.uint16))
    else:
        picture = colour.quantize(7) if mode == "P" else colour.convert(mode)
    picture.save(tmp_path / "a.png")
    shown = {"1": "L", "P": "RGB"}.get(mode)
    expected = np.asarray(picture.convert(shown) if shown else picture)
    assert_array_equal(read_image(tmp_path / "a.png").samples, expected)


def test_transparent_palette_becomes_rgb_and_alpha(tmp_path, rng):
    picture = Image.fromarray(random_samples(rng, (8, 9, 3), np.uint8)).quantize(5)
    picture.save(tmp_path / "a.png", transparency=2)
    with Image.open(tmp_path / "a.png") as shown:
        expected = np.asarray(shown.convert("RGBA"))
    assert_array_equal(read_image(tmp_path / "a.png").samples, expected)


def test_interlaced_png_is_read(tmp_path, rng):
    pixels = random_samples(rng, (3, 3), np.uint8)
    # Adam7 passes of a 3 x 3 image, each row after its filter byte (PNG, section 8.1).
    passes = [[(0, 0)], [], [], [(0, 2)], [(2, 0), (2, 2)], [(0, 1)], [(2, 1)], [(1, 0), (1, 1), (1, 2)]]
    rows = [passes[0], passes[3], passes[4], passes[5], passes[6], passes[7]]
    raw = b"".join(b"\0" + bytes(int(pixels[at]) for at in row) for row in rows)

    def chunk(name: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))

    header = struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 1)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)
    assert_array_equal(read_image(tmp_path / "a.png").pixels, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd"])
def test_tiff_layouts(dtype, planar, compression, tmp_path, rng):
    pixels = random_samples(rng, (19, 33, 3), dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, compression=compression, rowsperstrip=4
    )
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)


def test_tiled_tiff(tmp_path, rng):
    pixels = random_samples(rng, (19, 33), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(16, 16))
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)


def test_half_floats_become_float32(tmp_path, rng):
    pixels = random_samples(rng, (4, 5), np.float64).astype(np.float16)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    image = read_image(tmp_path / "a.tif")
    assert image.bit_depth == 32
    assert_array_equal(image.pixels, pixels.astype(np.float32))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_of_every_pillow_mode_is_read_as_pillow_shows_it(mode, compression, tmp_path, rng):
    colour = Image.fromarray(random_samples(rng, (8, 9, 3), np.uint8))
    picture = colour.quantize(7) if mode == "P" else colour.convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    expected = np.asarray(picture.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    assert_array_equal(read_image(tmp_path / "a.tif").samples, expected)


def test_white_is_zero_tiff_is_inverted(tmp_path, rng):
    pixels = random_samples(rng, (4, 5), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, 65535 - pixels)


def test_premultiplied_alpha_is_divided_out(tmp_path):
    samples = np.array([[[64, 32, 0, 128], [0, 0, 0, 0], [10, 20, 30, 255]]], np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extrasamples=["assocalpha"])
    expected = [[[128, 64, 0, 128], [0, 0, 0, 0], [10, 20, 30, 255]]]
    assert_array_equal(read_image(tmp_path / "a.tif").samples, expected)


def test_a_preview_page_is_not_a_second_picture(tmp_path, rng):
    pixels = random_samples(rng, (32, 48, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(pixels, photometric="rgb")
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_decoded_as_pillow_does(mode, tmp_path, rng):
    Image.fromarray(random_samples(rng, (16, 24, 3), np.uint8)).convert(mode).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as picture:
        assert_array_equal(read_image(tmp_path / "a.jpg").pixels, np.asarray(picture))


def test_jpeg_is_written_with_full_chroma_and_little_loss(tmp_path):
    rows, columns = np.mgrid[0:64, 0:64]
    pixels = np.dstack([rows * 4, columns * 4, 255 - rows * 2 - columns * 2]).astype(np.uint8)
    write_image(ImageFile(pixels), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as picture:
        assert {layer[1:3] for layer in picture.layer} == {(1, 1)}
    assert np.abs(read_image(tmp_path / "a.jpg").to_float() - pixels / 255).max() < 6 / 255


def test_the_content_decides_and_not_the_suffix(tmp_path):
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    image = read_image(tmp_path / "a.jpg")
    assert image.format == "png"
    assert image.pixels[0, 0].tolist() == [1, 2, 3]


# --- floats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_integer_level_survives_to_float_and_back(dtype):
    pixels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1)
    image = ImageFile(pixels)
    assert image.to_float().dtype == np.float32
    assert_allclose(image.to_float(), pixels / np.iinfo(dtype).max, rtol=1e-6)
    assert_array_equal(image.with_float(image.to_float()).pixels, pixels)


@given(arrays(np.float64, (2, 3), elements=st.floats(-2, 3)))
@settings(max_examples=50, deadline=None)
def test_with_float_picks_the_nearest_level_and_clips(pixels):
    image = ImageFile(np.zeros((2, 3), np.uint8)).with_float(pixels)
    nearest = np.abs(np.arange(256) / 255 - pixels[..., None]).min(-1)
    assert_allclose(np.abs(image.pixels / 255 - pixels), nearest, atol=1e-12)


def test_float_images_are_neither_scaled_nor_clipped():
    pixels = np.array([[-1.5, 0.25, 300.0]])
    image = ImageFile(np.zeros((1, 3), np.float32)).with_float(pixels)
    assert_array_equal(image.pixels, pixels)
    assert_array_equal(image.to_float(), pixels)


def test_with_float_keeps_everything_else(icc, exif):
    image = ImageFile(np.zeros((2, 2), np.uint16), np.ones((2, 2), np.uint16), icc, exif, "tiff", (72.0, 72.0))
    other = image.with_float(np.ones((2, 2)))
    assert (other.icc, other.exif, other.format, other.resolution) == (icc, exif, "tiff", (72.0, 72.0))
    assert_array_equal(other.alpha, image.alpha)
    assert_array_equal(image.pixels, 0)


@pytest.mark.parametrize("pixels", [np.zeros((2, 3)), np.full((2, 2), np.nan), np.full((2, 2), np.inf)])
def test_with_float_refuses_other_shapes_and_non_finite_values(pixels):
    with pytest.raises(ArgumentError):
        ImageFile(np.zeros((2, 2), np.uint8)).with_float(pixels)


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((2, 2), np.int32), None),
        (np.zeros((2, 2, 4), np.uint8), None),
        (np.zeros(4, np.uint8), None),
        (np.zeros((0, 2), np.uint8), None),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint16)),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)),
    ],
)
def test_impossible_images_are_refused(pixels, alpha):
    with pytest.raises(ArgumentError):
        ImageFile(pixels, alpha)


def test_properties():
    image = ImageFile(np.zeros((2, 5, 3), np.float32))
    assert (image.height, image.width, image.bit_depth, image.is_float, image.is_grey) == (2, 5, 32, True, False)


def test_grey_becomes_equal_rgb_in_webp(tmp_path, rng):
    pixels = random_samples(rng, (4, 5), np.uint8)
    write_image(ImageFile(pixels), tmp_path / "a.webp")
    with Image.open(io.BytesIO((tmp_path / "a.webp").read_bytes())) as picture:
        assert_array_equal(np.asarray(picture), np.dstack([pixels] * 3))
