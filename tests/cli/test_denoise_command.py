"""``noisewise denoise`` on files that are in order."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import contents, photo
from PIL import Image

import noisewise
from noisewise.models import load_denoiser

JOURNAL = ".noisewise-journal.jsonl"


@pytest.fixture
def denoise(run, weights):
    return lambda *arguments: run("denoise", *arguments, "--weights", weights)


def pixels(path):
    return np.asarray(Image.open(path))


def test_one_file(photos, tmp_path, denoise, weights):
    before = contents(photos)
    ran = denoise(photos / "a.png", "-o", tmp_path / "clean.png", "--sigma", 15)
    assert (ran.code, ran.out) == (0, "")
    expected = noisewise.denoise(pixels(photos / "a.png"), 15 / 255, model=load_denoiser(weights)).image
    np.testing.assert_array_equal(pixels(tmp_path / "clean.png"), expected)
    assert contents(photos) == before
    assert "sigma 15.0" in ran.err
    assert "Bit depth: 8 bits" in ran.err


def test_one_file_into_a_folder(photos, tmp_path, denoise):
    assert denoise(photos / "a.png", "-o", tmp_path / "clean").code == 0
    assert set(contents(tmp_path / "clean")) == {JOURNAL, "a.png"}


def test_several_files(photos, tmp_path, denoise):
    ran = denoise(photos / "a.png", photos / "b.jpg", "-o", tmp_path / "clean")
    assert ran.code == 0
    assert set(contents(tmp_path / "clean")) == {JOURNAL, "a.png", "b.jpg"}
    assert ran.err.splitlines()[-1] == "2 done"


def test_a_folder_keeps_its_structure(photos, tmp_path, denoise):
    before = contents(photos)
    (photos / "notes.txt").write_text("no image")
    photo(photos / ".hidden.png")
    ran = denoise(photos, "-o", tmp_path / "clean")
    assert ran.code == 0
    assert set(contents(tmp_path / "clean")) == {JOURNAL, "a.png", "b.jpg", "trip/c.png"}
    assert {name: data for name, data in contents(photos).items() if name in before} == before


def test_a_folder_and_a_file_do_not_go_into_one_file(photos, tmp_path, denoise):
    ran = denoise(photos, "-o", tmp_path / "clean.png")
    assert ran.code == 2
    assert "3 images cannot go into the one file" in ran.err


def test_another_format(photos, tmp_path, denoise):
    assert denoise(photos / "b.jpg", "-o", tmp_path / "b.tiff").code == 0
    assert Image.open(tmp_path / "b.tiff").format == "TIFF"


def test_the_level_is_told_on_the_0_to_255_scale(photos, tmp_path, denoise):
    said = json.loads(denoise(photos / "a.png", "-o", tmp_path / "x.png", "--sigma", 25.5, "--json").out)
    assert said[0]["sigma"] == 25.5


@pytest.mark.parametrize("sigma", ["much", "-1", "256", "nan", ""])
def test_a_level_that_is_none(sigma, photos, tmp_path, denoise):
    ran = denoise(photos / "a.png", "-o", tmp_path / "x.png", f"--sigma={sigma}")
    assert ran.code == 2
    assert ran.err == f"error: expected --sigma auto, diagnosed or a number from 0 to 255, got {sigma!r}\n"
    assert not (tmp_path / "x.png").exists()


def test_no_strength_changes_nothing(photos, tmp_path, denoise):
    assert denoise(photos / "a.png", "-o", tmp_path / "x.png", "--strength", 0).code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "x.png"), pixels(photos / "a.png"))


def test_the_residual_goes_beside_the_output(photos, tmp_path, denoise):
    photo(photos / "a.jpg", seed=9)
    assert denoise(photos, "-o", tmp_path / "clean", "--residual", "--sigma", 15).code == 0
    written = set(contents(tmp_path / "clean"))
    assert {"a.png.residual.png", "a.jpg.residual.png", "trip/c.png.residual.png"} < written
    shown = pixels(tmp_path / "clean" / "a.png.residual.png").astype(float) - 128
    removed = pixels(photos / "a.png").astype(float) - pixels(tmp_path / "clean" / "a.png")
    assert np.corrcoef(shown.ravel(), removed.ravel())[0, 1] > 0.95


def test_a_residual_that_exists_is_refused_before_anything_is_written(photos, tmp_path, denoise):
    (tmp_path / "x.png.residual.png").write_bytes(b"mine")
    ran = denoise(photos / "a.png", "-o", tmp_path / "x.png", "--residual")
    assert ran.code == 2
    assert "x.png.residual.png: it exists already" in ran.err
    assert not (tmp_path / "x.png").exists()


def test_the_report_of_a_folder_names_its_images(photos, tmp_path, denoise):
    ran = denoise(photos, "-o", tmp_path / "clean", "--report")
    page = (tmp_path / "clean" / "noisewise-report.html").read_text()
    assert all(name in page for name in ("a.png", "b.jpg", "trip/c.png", "3 images denoised"))
    assert str(tmp_path / "clean" / "noisewise-report.html") in ran.err


def test_the_report_owns_up_to_failures_and_to_its_limit(photos, tmp_path, denoise, monkeypatch):
    monkeypatch.setattr("noisewise.cli.pages._SHOWN", 2)
    (photos / "bad.png").write_bytes(b"")
    assert denoise(photos, "-o", tmp_path / "clean", "--report").code == 1
    page = (tmp_path / "clean" / "noisewise-report.html").read_text()
    assert "3 images denoised, 1 failed, the first 2 shown" in page
    assert "trip/c.png" not in page


def test_no_report_where_the_inputs_are_gone(photos, denoise):
    ran = denoise(photos, "-o", photos, "--overwrite", "--report")
    assert ran.code == 0
    assert "no report: there is no image with both its input and its output" in ran.err
    assert not (photos / "noisewise-report.html").exists()


def test_the_report_of_a_file_lies_beside_it(photos, tmp_path, denoise):
    assert denoise(photos / "a.png", "-o", tmp_path / "x.png", "--report").code == 0
    assert "1 image denoised" in (tmp_path / "x.report.html").read_text()


def test_the_report_shows_what_was_done_before_too(photos, tmp_path, denoise):
    assert denoise(photos, "-o", tmp_path / "clean").code == 0
    photo(photos / "d.png", seed=4)
    ran = denoise(photos, "-o", tmp_path / "clean", "--report")
    assert ran.err.splitlines()[-1] == "1 done, 3 done before"
    page = (tmp_path / "clean" / "noisewise-report.html").read_text()
    assert all(name in page for name in ("a.png", "trip/c.png", "d.png", "4 images denoised"))


def test_the_report_of_a_batch_is_brought_up_to_date(photos, tmp_path, denoise):
    assert denoise(photos, "-o", tmp_path / "clean", "--report").code == 0
    photo(photos / "d.png", seed=4)
    assert denoise(photos, "-o", tmp_path / "clean", "--report").code == 0
    assert "4 images denoised" in (tmp_path / "clean" / "noisewise-report.html").read_text()


def test_a_report_is_not_overwritten_unasked(photos, tmp_path, denoise):
    page = tmp_path / "x.report.html"
    page.write_text("mine")
    ran = denoise(photos / "a.png", "-o", tmp_path / "x.png", "--report")
    assert (ran.code, page.read_text()) == (2, "mine")
    assert "--overwrite" in ran.err
    assert not (tmp_path / "x.png").exists()
    assert denoise(photos / "a.png", "-o", tmp_path / "x.png", "--report", "--overwrite").code == 0
    assert page.read_text() != "mine"


def test_json_tells_everything(photos, tmp_path, denoise):
    ran = denoise(photos, "-o", tmp_path / "clean", "--json")
    assert ran.err == ""
    said = json.loads(ran.out)
    assert [entry["input"] for entry in said] == [str(photos / name) for name in ("a.png", "b.jpg", "trip/c.png")]
    assert [entry["output"] for entry in said] == [
        str(tmp_path / "clean" / n) for n in ("a.png", "b.jpg", "trip/c.png")
    ]
    for entry in said:
        assert entry["status"] == "done"
        assert entry["seconds"] >= 0
        assert 0 < entry["residual_whiteness"] <= 1
        assert -1 <= entry["residual_signal_correlation"] <= 1
        assert {"noise_level", "is_white", "is_jpeg", "jpeg_quality"} <= set(entry["diagnosis"])
        assert any(finding.startswith("Noise: sigma") for finding in entry["found"])
    assert [entry["diagnosis"]["is_jpeg"] for entry in said] == [False, True, False]


def test_json_of_failures_and_resumed_files(photos, tmp_path, denoise):
    denoise(photos, "-o", tmp_path / "clean")
    (photos / "bad.png").write_bytes(b"")
    ran = denoise(photos, "-o", tmp_path / "clean", "--json")
    assert ran.code == 1
    states = {entry["input"].rpartition("/")[2]: entry for entry in json.loads(ran.out)}
    assert {name: entry["status"] for name, entry in states.items()} == {
        "a.png": "resumed",
        "b.jpg": "resumed",
        "bad.png": "failed",
        "c.png": "resumed",
    }
    assert "it is empty" in states["bad.png"]["error"]


def test_an_output_that_exists_is_refused(photos, tmp_path, denoise):
    target = photo(tmp_path / "x.png", seed=7)
    before = target.read_bytes()
    ran = denoise(photos / "a.png", "-o", target)
    assert (ran.code, target.read_bytes()) == (2, before)
    assert f"{target}: it exists already; choose another name, or pass --overwrite" in ran.err
    assert denoise(photos / "a.png", "-o", target, "--overwrite").code == 0
    assert target.read_bytes() != before


def test_a_second_run_does_nothing_again(photos, tmp_path, denoise):
    denoise(photos, "-o", tmp_path / "clean")
    before = contents(tmp_path / "clean")
    ran = denoise(photos, "-o", tmp_path / "clean")
    assert ran.code == 0
    assert ran.err.count("done before: ") == 3
    assert ran.err.splitlines()[-1] == "0 done, 3 done before"
    assert contents(tmp_path / "clean") == before


def test_other_settings_are_refused_without_overwrite(photos, tmp_path, denoise):
    denoise(photos, "-o", tmp_path / "clean", "--sigma", 5)
    before = contents(tmp_path / "clean")
    ran = denoise(photos, "-o", tmp_path / "clean", "--sigma", 50)
    assert ran.code == 2
    assert ran.err.count("it exists already; choose another name, or pass --overwrite") == 3
    assert contents(tmp_path / "clean") == before
    assert denoise(photos, "-o", tmp_path / "clean", "--sigma", 50, "--overwrite").code == 0
    assert contents(tmp_path / "clean")["a.png"] != before["a.png"]


def test_a_changed_input_is_done_again(photos, tmp_path, denoise):
    denoise(photos, "-o", tmp_path / "clean")
    photo(photos / "a.png", seed=8)
    assert "1 done, 2 done before" in denoise(photos, "-o", tmp_path / "clean", "--overwrite").err


def test_weights_trained_anew_are_other_settings(photos, tmp_path, run, weights):
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(weights.read_bytes())
    arguments = ("denoise", photos, "-o", tmp_path / "clean", "--weights", mine)
    assert run(*arguments).code == 0
    os.utime(mine, (1, 1))
    assert "3 done" in run(*arguments, "--overwrite").err.splitlines()[-1]


def test_the_input_folder_is_never_the_output_unasked(photos, denoise):
    before = contents(photos)
    ran = denoise(photos, "-o", photos)
    assert ran.code == 2
    assert "is its own input" in ran.err
    assert contents(photos) == before


def test_in_place_when_asked_for(photos, denoise):
    before = contents(photos)
    assert denoise(photos, "-o", photos, "--overwrite", "--sigma", 15).code == 0
    after = contents(photos)
    assert all(after[name] != before[name] for name in before)
    assert denoise(photos, "-o", photos, "--overwrite", "--sigma", 15).err.endswith("0 done, 3 done before\n")
    assert contents(photos) == after


def test_an_output_folder_among_the_inputs_is_not_denoised_again(photos, denoise):
    assert denoise(photos, "-o", photos / "clean").code == 0
    assert denoise(photos, "-o", photos / "clean").err.endswith("0 done, 3 done before\n")


def test_names_with_spaces_brackets_and_other_alphabets(tmp_path, denoise):
    names = ["two  spaces.png", "[red]brackets[/red].png", "写真 ñ.png", ":smile:.png", "-dash.png"]
    for name in names:
        photo(tmp_path / "in" / name)
    ran = denoise(tmp_path / "in", "-o", tmp_path / "out")
    assert ran.code == 0
    assert set(contents(tmp_path / "out")) == {JOURNAL, *names}
    assert all(name in ran.err for name in names)


def test_a_name_that_is_not_unicode(tmp_path, denoise):
    photo(tmp_path / "in" / "a.png").rename(os.fsdecode(os.fsencode(tmp_path / "in") + b"/\xff.png"))
    ran = denoise(tmp_path / "in", "-o", tmp_path / "out", "--report")
    assert ran.code == 0
    assert len(contents(tmp_path / "out")) == 3


def test_links_are_followed_and_stay_links(photos, tmp_path, denoise):
    link = tmp_path / "link.png"
    link.symlink_to(photos / "a.png")
    before = contents(photos)
    assert denoise(link, "-o", tmp_path / "out.png").code == 0
    assert contents(photos) == before
    assert link.is_symlink()


def test_a_link_does_not_smuggle_an_input_into_the_output(photos, tmp_path, denoise):
    (tmp_path / "out.png").symlink_to(photos / "a.png")
    before = contents(photos)
    assert denoise(photos / "a.png", "-o", tmp_path / "out.png").code == 2
    assert contents(photos) == before


def test_two_inputs_for_one_output(photos, tmp_path, denoise):
    photo(photos / "trip" / "a.png")
    ran = denoise(photos / "a.png", photos / "trip" / "a.png", "-o", tmp_path / "clean")
    assert ran.code == 2
    assert "would both be written to" in ran.err
    assert not (tmp_path / "clean").exists()


def test_one_pixel(tmp_path, denoise):
    photo(tmp_path / "a.png", size=(1, 1))
    assert denoise(tmp_path / "a.png", "-o", tmp_path / "b.png", "--report", "--residual").code == 0
    assert pixels(tmp_path / "b.png").shape == (1, 1, 3)


@pytest.mark.parametrize(("mode", "written"), [("L", "L"), ("LA", "LA"), ("RGBA", "RGBA"), ("P", "RGB")])
def test_grey_transparent_and_palette_images(mode, written, tmp_path, denoise):
    source = photo(tmp_path / "a.png", mode=mode)
    assert denoise(source, "-o", tmp_path / "b.png").code == 0
    result = Image.open(tmp_path / "b.png")
    assert (result.mode, result.size) == (written, (64, 48))
    if "A" in mode:
        assert result.getchannel("A").tobytes() == Image.open(source).getchannel("A").tobytes()


def test_the_shipped_network_needs_no_options(photos, tmp_path, run):
    assert run("denoise", photos / "a.png", "-o", tmp_path / "x.png").code == 0
    rough, smooth = (
        np.abs(np.diff(pixels(path).astype(float), axis=0)).mean() for path in (photos / "a.png", tmp_path / "x.png")
    )
    assert smooth < rough / 2


@pytest.mark.parametrize("chosen", [("--quality", "balanced"), ("--method", "zero_shot_n2n", "--quality", "fast")])
def test_other_qualities_and_methods(photos, tmp_path, run, chosen):
    assert run("denoise", photos / "a.png", "-o", tmp_path / "plain.png").code == 0
    assert run("denoise", photos / "a.png", "-o", tmp_path / "other.png", *chosen).code == 0
    plain, other = pixels(tmp_path / "plain.png"), pixels(tmp_path / "other.png")
    assert plain.shape == other.shape
    assert not np.array_equal(plain, other)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_learner_starts_from_weights_that_a_recipe_trained(tmp_path, run, monkeypatch, mode):
    from noisewise.methods.single_image import Self2Self

    monkeypatch.setattr(Self2Self, "steps", 4)
    start, photograph = tmp_path / "start.safetensors", tmp_path / "one.png"
    recipe = Path(__file__).parents[2] / "recipes" / "nrl_add.toml"
    photo(tmp_path / "large" / "a.png", size=(80, 72))
    arguments = ("--recipe", recipe, "--images", tmp_path / "large", "--steps", 1, "-o", start)
    assert run("pretrain", *arguments).code == 0
    Image.open(tmp_path / "large" / "a.png").convert(mode).save(photograph)
    learn = ("denoise", photograph, "--method", "self2self", "-o")
    assert run(*learn, tmp_path / "started.png", "--weights", start).code == 0
    assert run(*learn, tmp_path / "new.png").code == 0
    assert Image.open(tmp_path / "started.png").mode == mode
    assert not np.array_equal(pixels(tmp_path / "started.png"), pixels(tmp_path / "new.png"))
    for method, message in {"network": "for a learner of one image", "zero_shot_n2n": "leave --weights out"}.items():
        ran = run("denoise", photograph, "-o", tmp_path / "x.png", "--weights", start, "--method", method)
        assert ran.code == 2
        assert message in ran.err


def test_ctrl_c_leaves_the_best_that_was_learnt(photos, tmp_path, run, monkeypatch):
    """The third look is better than the first, the fourth is not; the third's network makes the image."""
    from noisewise.methods.single_image import GainTuning, fitting

    learn, errors = fitting._Run.learn, iter([3.0, 2.0, 1.0, 4.0])

    def interrupted(run, step):
        if step == 151:
            raise KeyboardInterrupt
        if step % 50 == 0:
            learn(run, step)  # the other steps would only take time

    monkeypatch.setattr(fitting._Run, "learn", interrupted)
    monkeypatch.setattr(GainTuning, "error", lambda *_: next(errors))
    monkeypatch.setattr(GainTuning, "steps", 200)
    network = []
    monkeypatch.setattr(GainTuning, "estimate", lambda self, net, noisy, *_: network.append(net) or noisy * 0.5)
    chosen = ("--method", "gain_tuning", "--quality", "balanced")
    ran = run("denoise", photos / "a.png", "-o", tmp_path / "best.png", *chosen)
    assert ran.code == 130
    assert "Traceback" not in ran.err
    halved = pixels(photos / "a.png") * 0.5
    assert np.abs(pixels(tmp_path / "best.png") - halved).max() <= 1
    gains = [value for name, value in network[0].state_dict().items() if name.endswith("factors")]
    assert any((gain != 1).any() for gain in gains)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (("--method", "self2sefl"), "expected a method from network, deep_image_prior"),
        (("--quality", "good"), "expected a quality from fast, balanced, best"),
    ],
)
def test_a_method_or_quality_that_does_not_exist(photos, tmp_path, denoise, chosen, message):
    ran = denoise(photos / "a.png", "-o", tmp_path / "clean.png", *chosen)
    assert ran.code == 2
    assert message in ran.err
    assert not (tmp_path / "clean.png").exists()
