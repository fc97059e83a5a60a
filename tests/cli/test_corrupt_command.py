"""``noisewise corrupt``: known noise on small photographs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from command_line import contents, photo
from PIL import Image

from noisewise.noise import NOISES


def pixels(path):
    return np.asarray(Image.open(path)).astype(float)


@pytest.fixture
def grey(tmp_path):
    """A mid-grey picture, far from both clips."""
    Image.new("RGB", (96, 96), (128, 128, 128)).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def test_the_level_is_on_the_0_to_255_scale(grey, tmp_path, run):
    assert run("corrupt", grey, "-o", tmp_path / "noisy.png", "--noise", "gaussian:sigma=12").code == 0
    assert pixels(tmp_path / "noisy.png").std() == pytest.approx(12, rel=0.03)


def test_the_ratio_that_it_tells_is_that_of_the_file(grey, tmp_path, run):
    ran = run("corrupt", grey, "-o", tmp_path / "noisy.png", "--json")
    (said,) = json.loads(ran.out)
    error = np.square((pixels(tmp_path / "noisy.png") - pixels(grey)) / 255).mean()
    assert said["psnr"] == pytest.approx(-10 * np.log10(error), abs=0.01)
    assert (said["input"], said["status"]) == (str(grey), "done")


def test_noise_of_level_zero_is_said_to_change_nothing(grey, tmp_path, run):
    ran = run("corrupt", grey, "-o", tmp_path / "same.png", "--noise", "gaussian:sigma=0")
    assert ran.err == f"{tmp_path / 'same.png'}: unchanged\n"
    np.testing.assert_array_equal(pixels(tmp_path / "same.png"), pixels(grey))
    ran = run("corrupt", grey, "-o", tmp_path / "again.png", "--noise", "gaussian:sigma=0", "--json")
    assert json.loads(ran.out)[0]["psnr"] is None


def test_the_same_seed_gives_the_same_bytes(photos, tmp_path, run):
    for folder, seed in {"one": 3, "two": 3, "three": 4}.items():
        assert run("corrupt", photos, "-o", tmp_path / folder, "--seed", seed).code == 0
    one, two, three = (contents(tmp_path / folder) for folder in ("one", "two", "three"))
    names = ("a.png", "b.jpg", "trip/c.png")
    assert all(one[name] == two[name] for name in names)
    assert all(one[name] != three[name] for name in names)


def test_every_image_gets_noise_of_its_own(tmp_path, run):
    for name in ("a.png", "b.png"):
        Image.new("L", (64, 64), 128).save(tmp_path / name)
    assert run("corrupt", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out").code == 0
    a, b = (pixels(tmp_path / "out" / name).ravel() for name in ("a.png", "b.png"))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_a_range_is_drawn_for_every_image(tmp_path, run):
    for index in range(8):
        Image.new("L", (64, 64), 128).save(tmp_path / f"{index}.png")
    run("corrupt", tmp_path, "-o", tmp_path / "out", "--noise", "gaussian:sigma=5..30")
    levels = [pixels(path).std() for path in sorted((tmp_path / "out").glob("*.png"))]
    assert 4 < min(levels) < max(levels) < 33
    assert max(levels) - min(levels) > 5


def test_noises_in_sequence(photos, tmp_path, run):
    ran = run("corrupt", photos / "a.png", "-o", tmp_path / "x.png", "--noise", "gaussian:sigma=10+jpeg:quality=50")
    assert ran.code == 0
    assert "PSNR" in ran.err


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", NOISES)
def test_every_noise_at_its_own_level(name, mode, tmp_path, run):
    source = photo(tmp_path / "a.png", mode=mode)
    ran = run("corrupt", source, "-o", tmp_path / "noisy.png", "--noise", name)
    assert (ran.code, ran.out) == (0, "")
    written = Image.open(tmp_path / "noisy.png")
    assert (written.mode, written.size) == (mode, (64, 48))
    assert ("unchanged" in ran.err) == (name == "eight_bit")


def test_depth_and_transparency_are_kept(tmp_path, run):
    deep = np.full((32, 32, 3), 30_000, np.uint16)
    tifffile.imwrite(tmp_path / "deep.tiff", deep, photometric="rgb")
    photo(tmp_path / "clear.png", mode="RGBA")
    assert run("corrupt", tmp_path / "deep.tiff", tmp_path / "clear.png", "-o", tmp_path / "out").code == 0
    noisy = tifffile.imread(tmp_path / "out" / "deep.tiff")
    assert noisy.dtype == np.uint16
    assert noisy.std() == pytest.approx(25 / 255 * 65535, rel=0.05)
    assert Image.open(tmp_path / "out" / "clear.png").mode == "RGBA"


WRONG = {
    "gausian:sigma=5": "did you mean 'gaussian'?",
    "gaussian:sgma=5": "did you mean 'sigma'?",
    "gaussian:sigma=much": "expected a number or LOW..HIGH for sigma, got 'much'",
    "gaussian:sigma=-5": "sigma",
    "gaussian:sigma": "expected FIELD=VALUE",
    "gaussian:sigma=9..3": "low..high",
    "": "choose one of",
}


@pytest.mark.parametrize("spec", WRONG)
def test_a_specification_that_is_none(spec, photos, tmp_path, run):
    ran = run("corrupt", photos, "-o", tmp_path / "out", "--noise", spec)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert WRONG[spec] in ran.err
    assert not (tmp_path / "out").exists()


def test_a_batch_resumes_and_other_settings_are_refused(photos, tmp_path, run):
    run("corrupt", photos, "-o", tmp_path / "out", "--seed", 1)
    assert run("corrupt", photos, "-o", tmp_path / "out", "--seed", 1).err.endswith("0 done, 3 done before\n")
    ran = run("corrupt", photos, "-o", tmp_path / "out", "--seed", 2)
    assert ran.code == 2
    assert ran.err.count("exists already") == 3
    assert run("corrupt", photos, "-o", tmp_path / "out", "--seed", 2, "--overwrite").code == 0


def test_a_bad_file_leaves_the_rest_alone(photos, tmp_path, run):
    (photos / "bad.png").write_bytes(b"")
    ran = run("corrupt", photos, "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.err.endswith("3 done, 1 failed\n")


def test_inputs_are_never_changed(photos, tmp_path, run):
    before = contents(photos)
    run("corrupt", photos, "-o", tmp_path / "out")
    assert run("corrupt", photos, "-o", photos).code == 2
    assert contents(photos) == before


def test_a_file_gets_the_same_noise_alone_and_among_others(photos, tmp_path, run):
    assert run("corrupt", photos, "-o", tmp_path / "all").code == 0
    assert run("corrupt", photos / "b.jpg", "-o", tmp_path / "alone").code == 0
    assert contents(tmp_path / "alone")["b.jpg"] == contents(tmp_path / "all")["b.jpg"]
