"""Bad input gives one line that names the file; a failed write leaves nothing behind."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL import ImageFile as PillowFile

from noisewise.data import ImageFile, check_output, read_image, write_image
from noisewise.data.reading import read_all
from noisewise.errors import OutputError, UnreadableImageError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)


def encoded(form: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, form, **options)
    return file.getvalue()


def tiff_with(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


GOOD = {
    "a.png": encoded("PNG"),
    "a.jpg": encoded("JPEG", quality=95),
    "a.webp": encoded("WEBP", lossless=True),
    "plain.tif": tiff_with(PIXELS, photometric="rgb", rowsperstrip=7),
    "lzw.tif": tiff_with(PIXELS, photometric="rgb", compression="lzw", rowsperstrip=7),
    "jpeg.tif": tiff_with(PIXELS, photometric="rgb", compression="jpeg"),
    "zstd.tif": tiff_with(PIXELS, photometric="rgb", compression="zstd"),
}


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("kept", [0.3, 0.9, -1])
@pytest.mark.parametrize("name", GOOD)
def test_truncated_files_are_refused_whatever_pillow_is_set_to(name, kept, lenient, tmp_path, monkeypatch):
    monkeypatch.setattr(PillowFile, "LOAD_TRUNCATED_IMAGES", lenient)
    data = GOOD[name]
    (tmp_path / name).write_bytes(data[:-1] if kept == -1 else data[: int(kept * len(data))])
    refusal(tmp_path / name)


@given(name=st.sampled_from(sorted(GOOD)), at=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.booleans())
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_read_or_refused_but_never_crash(tmp_path_factory, name, at, value, cut):
    data = bytearray(GOOD[name])
    at %= min(len(data), 600) if value % 2 else len(data)
    data[at] = value
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(data[: at + 1] if cut else data)
    with contextlib.suppress(UnreadableImageError):
        assert read_image(path).pixels.size


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "empty"), (b"no image at all", "convert"), (b"\x89PNG", "convert"), (b"GIF89a", "PNG")]
)
def test_no_image(content, said, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    assert said in refusal(tmp_path / "a.png")


def test_missing_file(tmp_path):
    assert "No such file" in refusal(tmp_path / "a.png")


def test_a_folder_is_no_file(tmp_path):
    assert "folder" in refusal(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    thread = threading.Thread(target=refusal, args=[tmp_path / "a.png"], daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    (tmp_path / "a.png").write_bytes(GOOD["a.png"])
    (tmp_path / "a.png").chmod(0)
    assert "permission" in refusal(tmp_path / "a.png").lower()


def bomb_png() -> bytes:
    data = bytearray(GOOD["a.png"])
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def bomb_jpeg() -> bytes:
    data = bytearray(GOOD["a.jpg"])
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 30_000, 30_000)
    return bytes(data)


def bomb_tiff() -> bytes:
    data = bytearray(GOOD["plain.tif"])
    for tag in (256, 257):
        at = data.index(struct.pack("<H", tag), 8)
        data[at + 8 : at + 12] = struct.pack("<I", 30_000)
    return bytes(data)


@pytest.mark.parametrize(("name", "data"), [("a.png", bomb_png()), ("a.jpg", bomb_jpeg()), ("a.tif", bomb_tiff())])
def test_decompression_bombs_are_refused_before_decoding(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert "30000 x 30000" in refusal(tmp_path / name)


def test_200_megapixels_are_no_bomb_although_pillow_says_so(tmp_path):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").pixels.shape == (10_000, 20_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_tiff_with_non_finite_pixels(value, tmp_path):
    pixels = np.zeros((3, 4), np.float32)
    pixels[1, 2] = value
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    assert "NaN" in refusal(tmp_path / "a.tif")


def test_tiff_of_several_pages(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 9), np.uint8), photometric="minisblack")
    assert "3 pages" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.complex64])
def test_tiff_of_other_pixel_types(dtype, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9), dtype))
    assert "8 or 16 bit" in refusal(tmp_path / "a.tif")


def test_tiff_of_twelve_bits(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 10), np.uint16), bitspersample=12, compression="none")
    assert "12 bits" in refusal(tmp_path / "a.tif")


def test_tiff_of_five_channels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9, 5), np.uint8), photometric="rgb", extrasamples=[0, 0])
    assert "5 channels" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk(suffix, tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / f"a{suffix}")
    assert "RGB" in refusal(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_animations(suffix, tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    assert "2 frames" in refusal(tmp_path / f"a{suffix}")


# --- writing ---------------------------------------------------------------------------------------------------------

GREY = np.zeros((4, 5), np.uint8)
IMPOSSIBLE = [
    (ImageFile(GREY.astype(np.uint16)), "a.jpg", ".png or .tiff"),
    (ImageFile(GREY.astype(np.uint16)), "a.webp", ".png or .tiff"),
    (ImageFile(GREY.astype(np.float32)), "a.png", ".tiff"),
    (ImageFile(GREY.astype(np.float32)), "a.jpg", ".tiff"),
    (ImageFile(GREY, GREY), "a.jpg", ".png"),
    (ImageFile(GREY, icc=b"profile"), "a.webp", ".png"),
    (ImageFile(GREY, exif=bytes(70_000)), "a.jpg", ".png"),
    (ImageFile(np.zeros((1, 70_000), np.uint8)), "a.jpg", ".png"),
    (ImageFile(np.zeros((1, 17_000), np.uint8)), "a.webp", ".png"),
    (ImageFile(GREY), "a.gif", ".png"),
    (ImageFile(GREY), "a", ".png"),
]


@pytest.mark.parametrize(("image", "name", "mend"), IMPOSSIBLE)
@pytest.mark.parametrize("act", [check_output, write_image])
def test_what_a_format_cannot_hold_is_refused_with_the_mend(act, image, name, mend, tmp_path):
    with pytest.raises(OutputError) as caught:
        act(image, tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert mend in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept_unless_overwriting_is_allowed(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        write_image(ImageFile(GREY), path)
    assert path.read_bytes() == b"precious"
    write_image(ImageFile(GREY), path, overwrite=True)
    assert read_image(path).pixels.shape == GREY.shape
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_of_many_concurrent_writers_exactly_one_wins(hard_links, tmp_path, monkeypatch):
    if not hard_links:
        monkeypatch.setattr(Path, "hardlink_to", _unsupported)
    barrier, won = threading.Barrier(8), []

    def write(level: int) -> None:
        barrier.wait()
        with contextlib.suppress(OutputError):
            write_image(ImageFile(np.full((4, 5), level, np.uint8)), tmp_path / "a.png")
            won.append(level)

    threads = [threading.Thread(target=write, args=[level]) for level in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (read_image(tmp_path / "a.png").pixels == won[0]).all()
    assert len(list(tmp_path.iterdir())) == 1


def _unsupported(self: Path, target: Path) -> None:
    raise PermissionError(1, "Operation not permitted")


@contextlib.contextmanager
def largest_file(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.png"
    write_image(ImageFile(GREY), path)
    before = path.read_bytes()
    with largest_file(1000), pytest.raises(OutputError, match="free space"):
        write_image(ImageFile(PIXELS), path, overwrite=True)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permissions"):
        write_image(ImageFile(GREY), tmp_path / "a.png")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="a file has its name"):
        write_image(ImageFile(GREY), tmp_path / "file" / "a.png")
    with pytest.raises(OutputError, match="Not a directory"):
        write_image(ImageFile(GREY), tmp_path / "file" / "folder" / "a.png")


def test_a_folder_is_never_overwritten(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="exists"):
        write_image(ImageFile(GREY), tmp_path / "a.png", overwrite=True)


def test_missing_folders_are_made(tmp_path):
    write_image(ImageFile(GREY), tmp_path / "b" / "c" / "a.png")
    assert (tmp_path / "b" / "c" / "a.png").is_file()


def test_permissions_follow_the_umask_or_the_file_that_is_replaced(tmp_path):
    path = tmp_path / "a.png"
    before = os.umask(0o027)
    try:
        write_image(ImageFile(GREY), path)
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o600)
        write_image(ImageFile(GREY), path, overwrite=True)
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_a_damaged_exif_block_is_refused_for_tiff_before_any_work(tmp_path):
    image = ImageFile(np.zeros((4, 4, 3), np.uint8), exif=b"II*\0\x08\0\0\0\xff\xff")
    with pytest.raises(OutputError, match=r"EXIF block is damaged.*choose \.png"):
        check_output(image, tmp_path / "a.tiff")


def test_all_files_are_read_in_order_and_counted(tmp_path):
    counted = []
    names = read_all([tmp_path / "a", tmp_path / "b"], lambda path: path.name, lambda *done: counted.append(done))
    assert names == ["a", "b"]
    assert counted == [(1, 2), (2, 2)]


def test_all_files_that_cannot_be_read_are_named_together(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    paths = [tmp_path / name for name in ("empty.png", "good.png", "text.png")]
    with pytest.raises(UnreadableImageError) as refused:
        read_all(paths, read_image)
    assert f"2 files cannot be read: {paths[0]}, {paths[2]};" in str(refused.value)
    assert "it is empty" in str(refused.value)
    with pytest.raises(UnreadableImageError, match=r"^cannot read .*text\.png"):
        read_all(paths[1:], read_image)
