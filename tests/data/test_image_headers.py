"""What is told of an image file without decoding it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from noisewise.data.reading import image_suffix, require_pixels
from noisewise.errors import UnreadableImageError

SUFFIXES = ["png", "jpg", "tif", "webp"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_image_of_just_so_many_pixels_passes_and_one_more_does_not(suffix, tmp_path):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path)
    require_pixels(path, 1200)
    with pytest.raises(UnreadableImageError, match=rf"image\.{suffix}: its 40 x 30 pixels exceed"):
        require_pixels(path, 1199)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_that_lost_its_pixels_is_told_by_its_header_alone(suffix, tmp_path):
    path = tmp_path / f"image.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UnreadableImageError, match="300 x 200 pixels exceed"):
        require_pixels(path, 100)


def test_the_suffix_is_that_of_the_content(tmp_path):
    for name, kind, expected in [("a.JPG", "JPEG", ".JPG"), ("b.jpg", "PNG", ".png"), ("c", "TIFF", ".tif")]:
        path = tmp_path / name
        Image.new("RGB", (8, 8)).save(path, kind)
        assert image_suffix(path) == expected


def test_what_is_no_image_has_neither(tmp_path):
    (tmp_path / "text.png").write_text("no image, but long enough for a header")
    for asked in (image_suffix, lambda path: require_pixels(path, 100)):
        with pytest.raises(UnreadableImageError, match="not PNG, JPEG, TIFF or WebP"):
            asked(tmp_path / "text.png")
        with pytest.raises(UnreadableImageError, match="No such file"):
            asked(tmp_path / "missing.png")
