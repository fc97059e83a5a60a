"""``noisewise pretrain`` on a recipe small enough for a test."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import tifffile
from command_line import RECIPE, photo, start
from PIL import Image

from noisewise.methods.nvt import NOISY_ONLY
from noisewise.models import load_denoiser


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path / "tiny.toml"


@pytest.fixture
def pretrain(photos, tmp_path, recipe, run):
    """Three steps on three photographs unless told otherwise."""

    def call(*arguments, images=photos, recipe=recipe, output=tmp_path / "mine.safetensors", steps=3):
        return run("pretrain", "--images", images, "--recipe", recipe, "-o", output, "--steps", steps, *arguments)

    return call


def test_the_weights_serve_denoise(pretrain, photos, tmp_path, run):
    ran = pretrain()
    output = tmp_path / "mine.safetensors"
    assert (ran.code, ran.out) == (0, "")
    first, last, summary = ran.err.splitlines()
    assert first.startswith("step 1 of 3, loss 0.")
    assert last.startswith("step 3 of 3, loss 0.")
    assert summary == f"{output}: trained on 3 images for 3 steps"
    assert load_denoiser(output).unet.head.out_channels == 8
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "tiny.toml", "mine.safetensors"}
    assert run("denoise", photos / "a.png", "-o", tmp_path / "a.png", "--weights", output).code == 0
    assert Image.open(tmp_path / "a.png").size == (64, 48)


def test_the_same_seed_gives_the_same_weights(pretrain, tmp_path):
    for name, seed in {"one": 1, "two": 1, "three": 2}.items():
        pretrain("--seed", seed, output=tmp_path / f"{name}.safetensors")
    one, two, three = (load_denoiser(tmp_path / f"{name}.safetensors").state_dict() for name in ("one", "two", "three"))
    assert all(one[key].equal(two[key]) for key in one)
    assert not all(one[key].equal(three[key]) for key in one)


def test_excluded_images_are_left_out(pretrain, tmp_path):
    photo(tmp_path / "photos" / "two words.png")
    (tmp_path / "test-set.txt").write_text("b\ntwo words\n")
    assert "trained on 2 images" in pretrain("--exclude", tmp_path / "test-set.txt").err


def test_grey_and_16_bit_photographs_are_fine(pretrain, tmp_path):
    photo(tmp_path / "grey.png", mode="L").rename(tmp_path / "photos" / "grey.png")
    deep = np.random.default_rng(0).integers(0, 2**16, (24, 24, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "photos" / "deep.tiff", deep, photometric="rgb")
    assert "trained on 5 images" in pretrain().err


def refused(ran, *words):
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("error: ")
    assert "a defect" not in ran.err
    assert all(str(word) in ran.err for word in words)


def test_a_folder_that_is_missing_or_empty(pretrain, tmp_path):
    refused(pretrain(images=tmp_path / "nowhere"), tmp_path / "nowhere", "check the spelling")
    (tmp_path / "empty").mkdir()
    refused(pretrain(images=tmp_path / "empty"), tmp_path / "empty", "no images")


def test_everything_excluded(pretrain, tmp_path):
    (tmp_path / "all.txt").write_text("a\nb\nc\n")
    refused(pretrain("--exclude", tmp_path / "all.txt"), "exclusions")
    refused(pretrain("--exclude", tmp_path / "none.txt"), tmp_path / "none.txt")


def test_the_help_tells_how_many_steps_noisy_images_take(run):
    assert f"{NOISY_ONLY.steps} of --noisy-only" in " ".join(run("pretrain", "--help").out.replace("│", " ").split())


def test_an_image_smaller_than_a_patch(pretrain, photos):
    photo(photos / "small.png", size=(15, 40))
    refused(pretrain(), photos / "small.png", "15x40, smaller than a patch of 16; leave it out")


def test_an_image_that_cannot_be_read(pretrain, photos):
    (photos / "bad.png").write_bytes(b"")
    refused(pretrain(), photos / "bad.png", "it is empty; copy or export it again")


def test_all_images_that_cannot_be_read_are_named_at_once(pretrain, photos):
    bad = [photos / f"bad{number}.png" for number in range(7)]
    for path in bad:
        path.write_bytes(b"")
    shown = ", ".join(map(str, bad[:5]))
    refused(pretrain(), f"7 files cannot be read: {shown} and 2 more;", "of the first: cannot read", "it is empty")


RECIPES = {
    "no recipe": "",
    "no TOML": "[model",
    "a table is missing": RECIPE.replace("[schedule]", "[plan]"),
    "an entry is missing": RECIPE.replace("batch = 1\n", ""),
    "an entry too many": RECIPE.replace("batch = 1\n", "batch = 1\nbach = 2\n"),
    "a noise that is none": RECIPE.replace("gaussian", "gausian"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_bad_recipe(case, pretrain, recipe):
    recipe.write_text(RECIPES[case])
    refused(pretrain())


def test_a_recipe_that_is_missing(pretrain):
    refused(pretrain(recipe="denosier"), "'denosier'")


def test_an_output_that_exists_is_refused_before_training(pretrain, tmp_path):
    output = tmp_path / "mine.safetensors"
    output.write_bytes(b"mine")
    refused(pretrain(), output, "--overwrite")
    assert output.read_bytes() == b"mine"
    assert pretrain("--overwrite").code == 0
    load_denoiser(output)


def test_a_folder_for_the_output_is_asked_for_before_training(pretrain, tmp_path):
    refused(pretrain(output=tmp_path / "nowhere" / "mine.safetensors"), tmp_path / "nowhere", "make it")


def test_a_checkpoint_of_another_run_is_not_used(pretrain, tmp_path):
    (tmp_path / "mine.safetensors.checkpoint").write_bytes(b"no checkpoint")
    refused(pretrain(), tmp_path / "mine.safetensors.checkpoint", "delete it")


@pytest.mark.slow
def test_a_full_disk(photos, tmp_path, recipe):
    output = tmp_path / "mine.safetensors"
    process = start(
        *("pretrain", "--images", photos, "--recipe", recipe, "-o", output, "--steps", 2),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
    )
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert said.splitlines()[-1].startswith(f"error: cannot write {output} or its checkpoint")
    assert said.endswith("check the folder's permissions and free space, then run the same command again\n")
    assert not output.exists()


def test_noisy_16_bit_images_alone_make_weights_that_denoise_takes(tmp_path, run):
    folder = tmp_path / "micrographs"
    folder.mkdir()
    for seed in range(2):
        noisy = 2000 + 300 * np.random.default_rng(seed).standard_normal((140, 150))
        tifffile.imwrite(folder / f"{seed}.tif", noisy.round().astype(np.uint16))
    output = tmp_path / "mine.safetensors"
    ran = run("pretrain", "--images", folder, "--noisy-only", "--steps", 2, "-o", output)
    assert ran.code == 0, ran.err
    assert "trained on 2 images for 2 steps" in ran.err
    assert run("denoise", folder / "0.tif", "-o", tmp_path / "clean.tif", "--weights", output).code == 0
    clean = tifffile.imread(tmp_path / "clean.tif")
    assert (clean.dtype, clean.shape) == (np.uint16, (140, 150))
    assert clean.std() < 0.5 * tifffile.imread(folder / "0.tif").std()


def test_noisy_images_smaller_than_a_patch_are_refused(tmp_path, run):
    photo(tmp_path / "small.png")
    ran = run("pretrain", "--images", tmp_path / "small.png", "--noisy-only", "-o", tmp_path / "mine.safetensors")
    assert ran.code == 2
    assert "smaller than a patch of 128" in ran.err


def test_a_recipe_is_not_for_noisy_images(pretrain):
    refused(pretrain("--noisy-only"), "got both")
