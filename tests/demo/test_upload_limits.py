"""What visitors upload is bounded before it takes memory or disk, and stays where it belongs."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from noisewise.demo.web.limits import Clock, Limits
from noisewise.demo.web.network import image_size, uploaded_network
from noisewise.demo.web.uploads import class_folder, uploaded_images
from noisewise.errors import ArgumentError, DatasetError, LimitError, NoisewiseError, UnreadableImageError
from noisewise.models.preprocess import resolve_preprocess

LIMITS = Limits(megabytes=1, megapixels=0.01, images=4)


def picture(path, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(path)
    return path


def packed(path, names, source):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(source, name)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "unpacked" / "here"
    inside.mkdir(parents=True)
    return inside


def test_files_and_zips_together(tmp_path, folder):
    one = picture(tmp_path / "one.png")
    archive = packed(tmp_path / "more.zip", ["a/x.png", "b/y.png", "__MACOSX/a/._x.png", ".hidden/z.png"], one)
    again = packed(tmp_path / "again.zip", ["a/x.png"], one)
    found = uploaded_images([str(one), archive, again], folder, LIMITS)
    assert found == [one, *(folder / path for path in ("0/a/x.png", "0/b/y.png", "1/a/x.png"))]


def test_a_zip_cannot_write_outside_its_folder(tmp_path, folder):
    archive = packed(tmp_path / "evil.zip", ["../../out.png", "/abs.png", "in.png"], picture(tmp_path / "one.png"))
    found = uploaded_images([archive], folder, LIMITS)
    assert [path.name for path in found] == ["abs.png", "in.png"]
    assert all(path.resolve().is_relative_to(folder.resolve()) for path in found)
    assert not list(tmp_path.glob("out.png"))


def test_zips_share_what_they_may_unpack_to(tmp_path, folder):
    (tmp_path / "zeros.png").write_bytes(bytes(600_000))
    archives = [packed(tmp_path / f"{number}.zip", ["zeros.png"], tmp_path / "zeros.png") for number in range(2)]
    with pytest.raises(LimitError, match=r"1\.zip unpacks to more than the 1 MB"):
        uploaded_images(archives, folder, replace(LIMITS, megabytes=1))


def test_weights_that_ask_for_a_monstrous_head_are_refused(tmp_path):
    save_file({"fc.bias": torch.zeros(4_000_000, dtype=torch.uint8)}, tmp_path / "huge.safetensors")
    with pytest.raises(LimitError, match="a layer of 4000000 outputs"):
        uploaded_network("timm:resnet18", str(tmp_path / "huge.safetensors"), replace(LIMITS, megabytes=100))


def test_what_was_swept_away_is_told(tmp_path, folder):
    with pytest.raises(ArgumentError, match="gone after 30 minutes; drop it again"):
        uploaded_images([str(tmp_path / "swept.png")], folder, LIMITS)
    with pytest.raises(ArgumentError, match="gone after 30 minutes; drop it again"):
        uploaded_network("timm:test_resnet", str(tmp_path / "swept.safetensors"), replace(LIMITS, megabytes=9))


def test_a_zip_that_blows_up_is_not_unpacked(tmp_path, folder):
    (tmp_path / "zeros.png").write_bytes(bytes(3_000_000))
    archive = packed(tmp_path / "bomb.zip", ["zeros.png"], tmp_path / "zeros.png")
    with pytest.raises(LimitError, match="more than the 1 MB"):
        uploaded_images([archive], folder, LIMITS)
    assert not list(folder.iterdir())


def test_too_many_images(tmp_path, folder):
    names = [f"{number}.png" for number in range(5)]
    with pytest.raises(LimitError, match="5 images, and 4 are allowed"):
        uploaded_images([packed(tmp_path / "many.zip", names, picture(tmp_path / "one.png"))], folder, LIMITS)


def test_a_zip_that_is_none(tmp_path, folder):
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DatasetError, match=r"broken\.zip cannot be unpacked"):
        uploaded_images([str(tmp_path / "broken.zip")], folder, LIMITS)


def test_nothing_to_work_with(tmp_path, folder):
    (tmp_path / "text.txt").write_text("no image")
    for uploads in (None, [], [packed(tmp_path / "text.zip", ["text.txt"], tmp_path / "text.txt")]):
        with pytest.raises(ArgumentError, match="there are no images"):
            uploaded_images(uploads, folder, LIMITS)


def test_an_image_is_refused_by_the_size_that_it_claims(tmp_path, folder):
    with pytest.raises(UnreadableImageError, match=r"101 x 101 pixels exceed the limit of 0\.01 megapixels"):
        uploaded_images([str(picture(tmp_path / "large.png", side=101))], folder, LIMITS)
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "claim.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(UnreadableImageError, match="40000 x 40000"):
        uploaded_images([str(tmp_path / "claim.png")], folder, LIMITS)


def test_the_folder_of_classes_is_found_below_others(tmp_path):
    picture(tmp_path / "set" / "val" / "cat" / "a.png")
    picture(tmp_path / "set" / "val" / "dog" / "b.png")
    assert class_folder(tmp_path) == tmp_path / "set" / "val"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("os:system", "timm or torchvision"),
        ("hf:vit", "timm or torchvision"),
        ("resnet18", "timm or torchvision"),
        ("timm:resnet188", "did you mean 'resnet18'"),
        ("timm:resnet18", "12 million parameters"),  # 47 MB, and 1 is allowed
    ],
)
def test_a_network_that_is_not_built(name, said):
    with pytest.raises(NoisewiseError, match=said):
        uploaded_network(name, None, LIMITS)


def test_weights_are_never_unpickled(tmp_path):
    torch.save({}, tmp_path / "weights.pt")
    with pytest.raises(ArgumentError, match=r"\.safetensors file, got weights\.pt"):
        uploaded_network("timm:test_resnet", str(tmp_path / "weights.pt"), Limits())


def test_a_network_comes_with_its_weights(tmp_path):
    one = uploaded_network("timm:test_resnet", None, Limits())
    save_file(one.state_dict(), tmp_path / "weights.safetensors")
    two = uploaded_network("timm:test_resnet", str(tmp_path / "weights.safetensors"), Limits())
    assert all(torch.equal(value, two.state_dict()[key]) for key, value in one.state_dict().items())
    assert not two.training


def test_the_size_of_the_images():
    preprocess = resolve_preprocess(uploaded_network("timm:test_resnet", None, Limits()))
    assert image_size(None, preprocess) == preprocess.size
    assert image_size(48.0, preprocess) == (48, 48)
    with pytest.raises(ArgumentError, match="8 to 1024 pixels, got 4000"):
        image_size(4000, preprocess)
    with pytest.raises(ArgumentError, match="does not say"):
        image_size(None, replace(preprocess, size=None))


def test_the_clock_ends_a_request():
    Clock(Limits(seconds=60)).check()
    with pytest.raises(LimitError, match="longer than the 0 seconds"):
        Clock(Limits(seconds=0)).check()
