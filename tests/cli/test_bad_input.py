"""What cannot be read or written: one line with the file and the mend, an exit code, nothing half done."""

from __future__ import annotations

import os
import resource
import struct
import zlib

import numpy as np
import pytest
import tifffile
from command_line import contents, photo, start
from PIL import Image


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def truncated(path):
    data = photo(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def text(path):
    path.write_text("a letter to the editor, long enough to hold a header")


def with_nan(path):
    tifffile.imwrite(path, np.full((8, 8), np.nan, np.float32))


def animated(path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def cmyk(path):
    Image.new("CMYK", (8, 8)).save(path)


BAD = {
    "empty.png": (lambda path: path.write_bytes(b""), "it is empty; copy or export it again"),
    "truncated.png": (truncated, "copy or export it again"),
    "truncated.jpg": (truncated, "truncated; copy or export it again"),
    "truncated.tiff": (truncated, "copy or export it again"),
    "letter.png": (text, "convert it"),
    "bomb.png": (lambda path: path.write_bytes(png_of(60_000, 60_000)), "megapixels; cut it into tiles"),
    "lying.png": (lambda path: path.write_bytes(png_of(500, 500)), "copy or export it again"),
    "nan.tiff": (with_nan, "NaN"),
    "moving.webp": (animated, "animated"),
    "printed.jpg": (cmyk, "convert it to RGB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_alone(name, tmp_path, run, weights):
    make, message = BAD[name]
    make(tmp_path / name)
    before = contents(tmp_path)
    ran = run("denoise", tmp_path / name, "-o", tmp_path / "out.tiff", "--weights", weights)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("failed: ")
    assert str(tmp_path / name) in ran.err
    assert message in ran.err
    assert contents(tmp_path) == before


def test_bad_files_of_a_batch_leave_the_rest_alone(photos, tmp_path, run, weights):
    for name, (make, _) in BAD.items():
        make(photos / name)
    ran = run("denoise", photos, "-o", tmp_path / "clean", "--weights", weights)
    assert ran.code == 1
    assert ran.err.count("failed: ") == len(BAD)
    assert ran.err.splitlines()[-1] == f"3 done, {len(BAD)} failed"
    assert set(contents(tmp_path / "clean")) == {".noisewise-journal.jsonl", "a.png", "b.jpg", "trip/c.png"}


def test_a_mislabelled_file_is_read_by_its_content(tmp_path, run, weights):
    photo(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert run("denoise", tmp_path / "a.jpg", "-o", tmp_path / "out" / "a.jpg", "--weights", weights).code == 0
    assert Image.open(tmp_path / "out" / "a.jpg").format == "JPEG"


def test_an_input_that_is_missing(tmp_path, run):
    ran = run("denoise", tmp_path / "nowhere.png", "-o", tmp_path / "out.png")
    assert ran == (2, "", f"error: there is no file or folder {tmp_path / 'nowhere.png'}; check the spelling\n")


def test_a_folder_without_images(tmp_path, run):
    ran = run("denoise", tmp_path, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "there are no images" in ran.err


@pytest.mark.parametrize("output", ["out.gif", "out.bmp.png.txt"])
def test_an_output_of_no_known_format_is_refused(output, photos, tmp_path, run, weights):
    ran = run("denoise", photos / "a.png", "-o", tmp_path / output, "--weights", weights)
    assert ran.code == 2
    assert "names no format; choose " in ran.err
    assert not (tmp_path / output).exists()


def test_a_format_that_cannot_hold_the_image(tmp_path, run, weights):
    source = photo(tmp_path / "a.png", mode="RGBA")
    ran = run("denoise", source, "-o", tmp_path / "out.jpg", "--weights", weights)
    assert ran.code == 2
    assert "JPEG holds no transparency; choose .png, .tiff or .webp" in ran.err


@pytest.mark.parametrize("output", ["file/out.png", "file/deeper/out.png", "file/folder"])
def test_an_output_below_a_file(output, photos, tmp_path, run, weights):
    (tmp_path / "file").write_text("mine")
    ran = run("denoise", photos / "a.png", "-o", tmp_path / output, "--weights", weights)
    assert ran.code == 2
    assert "a file has its name or that of a folder above it; choose another folder" in ran.err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(photos, tmp_path, run, weights):
    (tmp_path / "locked").mkdir(mode=0o500)
    ran = run("denoise", photos / "a.png", "-o", tmp_path / "locked" / "x.png", "--weights", weights)
    assert ran.code == 2
    assert "check the folder's permissions" in ran.err


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder in which nobody can make files")  # noqa: PTH112
def test_a_folder_that_takes_no_files(photos, run, weights):
    ran = run("denoise", photos / "a.png", "-o", "/proc/noisewise.png", "--weights", weights)
    assert ran.code == 2
    assert "cannot write /proc/noisewise.png" in ran.err


def test_a_full_disk(photos, tmp_path, weights):
    photo(photos / "large.png", size=(160, 120))
    process = start(
        *("denoise", photos, "-o", tmp_path / "clean", "--weights", weights),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "large.png: File too large; check the folder's permissions and free space" in said
    assert "Traceback" not in said
    assert set(contents(tmp_path / "clean")) == {".noisewise-journal.jsonl", "a.png", "b.jpg", "trip/c.png"}


@pytest.mark.parametrize("content", [None, b"", b"no weights at all"])
def test_weights_that_are_none(content, photos, tmp_path, run):
    path = tmp_path / "mine.safetensors"
    if content is not None:
        path.write_bytes(content)
    ran = run("denoise", photos / "a.png", "-o", tmp_path / "x.png", "--weights", path)
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert str(path) in ran.err


def test_a_defect_is_one_line_too(photos, tmp_path, run, weights, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("noisewise.restore.files.denoise", broken)
    arguments = ("denoise", photos / "a.png", "-o", tmp_path / "x.png", "--weights", weights)
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("error: RuntimeError: first second (a defect: set NOISEWISE_DEBUG=1")
    monkeypatch.setenv("NOISEWISE_DEBUG", "1")
    with pytest.raises(RuntimeError, match="first"):
        run(*arguments)
