"""Pixels, profiles and EXIF blocks for the tests of reading and writing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from PIL.TiffImagePlugin import IFDRational


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def icc() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="session")
def exif() -> bytes:
    """An EXIF block with exposure, GPS and maker fields, as Pillow writes it."""
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Maker"
    block[ExifTags.Base.Orientation] = 6
    exposure = block.get_ifd(ExifTags.IFD.Exif)
    exposure[ExifTags.Base.ExposureTime] = IFDRational(1, 125)
    exposure[ExifTags.Base.ExposureBiasValue] = IFDRational(-1, 3)
    exposure[ExifTags.Base.ISOSpeedRatings] = 800
    exposure[ExifTags.Base.ExifVersion] = b"0232"
    exposure[ExifTags.Base.MakerNote] = b"\x01\x02 a note of odd length \xff"
    exposure[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: "R98"}
    place = block.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLatitude] = (51.0, 30.0, 12.5)
    return block.tobytes().removeprefix(b"Exif\0\0")
