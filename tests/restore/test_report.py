from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisewise.errors import ArgumentError, OutputError
from noisewise.restore.report import ReportImage, render_report, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Page(HTMLParser):
    """The parts of a page that the tests look at."""

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self, alt: str) -> list[Image.Image]:
        """The embedded pictures whose alternative text starts with ``alt``, in the order of the page."""
        uris = [img["src"] for img in self.all("img") if img["alt"].startswith(alt)]
        return [decoded(uri) for uri in uris if uri != "data:,"]


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(";base64,")[2], validate=True)))


def spaced(text: str) -> str:
    return " ".join(text.split())


def photo(height: int = 12, width: int = 20, channels: int | None = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width) if channels is None else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def entry(name: str = "a.png", seed: int = 0, **more: object) -> ReportImage:
    return ReportImage(name, photo(seed=seed), photo(seed=seed + 1), **more)


def page(*images: ReportImage, title: str = "Report", summary: str = "") -> Page:
    return Page(render_report(images, title=title, summary=summary))


@pytest.mark.parametrize("channels", [None, 3])
def test_small_pictures_come_back_to_the_last_bit(channels: int | None) -> None:
    before, after, reference = (photo(channels=channels, seed=seed) for seed in range(3))
    shown = page(ReportImage("a.png", before, after, reference=reference))
    for kind, pixels in {"Before": before, "After": after, "Reference": reference}.items():
        (picture,) = shown.pictures(kind)
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), pixels)
    assert "without loss" in shown.text


@pytest.mark.parametrize(
    ("level", "gain", "ends", "limit"),  # 0.2 / level lies just below 8, just above 8: 127.5 +- 255 * gain * level
    [(0.026, 4, (154, 101), "31.9"), (0.024, 8, (176, 79), "15.9")],
)
def test_residual_is_grey_where_nothing_was_removed_and_bright_where_light_was(
    level: float, gain: int, ends: tuple[int, int], limit: str
) -> None:
    residual = np.full((12, 20), level, np.float32)
    residual[6:], residual[0, 0] = -level, 0
    shown = page(entry(residual=residual))
    pixels = np.asarray(shown.pictures("Residual")[0])
    assert (pixels[0, 0], pixels[1, 0], pixels[-1, 0]) == (128, *ends)
    assert f"Amplified {gain}×: mid-grey is 0, black −{limit} and white +{limit} of 255" in spaced(shown.text)


def test_residual_of_nothing_is_all_mid_grey() -> None:
    (picture,) = page(entry(residual=np.zeros((12, 20, 3)))).pictures("Residual")
    assert set(np.asarray(picture).flat) == {128}


def test_residual_beyond_the_scale_clips_instead_of_wrapping() -> None:
    residual = np.zeros((12, 20))
    residual[0, :2] = 1.0, -1.0
    (picture,) = page(entry(residual=residual)).pictures("Residual")
    assert list(np.asarray(picture)[0, :2]) == [255, 0]


def test_autocorrelation_is_drawn_a_pixel_a_lag_and_told_in_figures() -> None:
    lags = np.array([[0.0, -1.0, 0.0], [0.4, 1.0, 0.4], [0.0, -0.001, 0.0]])
    shown = page(entry(autocorrelation=lags))
    (picture,) = shown.pictures("Autocorrelation")
    np.testing.assert_array_equal(np.asarray(picture), [[128, 0, 128], [178, 255, 178], [128, 127, 128]])
    assert "Next pixel across +0.40, down +0.00" in spaced(shown.text)


def test_tables_hold_the_rows_in_their_order() -> None:
    shown = page(entry(diagnosis=[("Noise", "white"), ("Sigma", "25")], figures=[("PSNR, dB", "20.17", "30.02")]))
    assert re.search(r"PSNR, dB\s*20\.17\s*30\.02.*Noise\s*white\s*Sigma\s*25", shown.text, re.DOTALL)


def test_parts_that_were_not_given_are_left_out() -> None:
    shown = page(entry())
    assert not {"Diagnosis", "Quality", "Residual", "Reference", "Autocorrelation"} & set(shown.text.split())
    assert not shown.all("table")


def test_text_is_escaped_everywhere() -> None:
    evil = """</title></script><script>alert(1)</script><img src=x onerror='a()'>" onload="b()&amp;"""
    harmless, harmful = (
        page(
            entry(text, diagnosis=[(text, text)], figures=[(text, text, text)]),
            entry(text),
            title=text,
            summary=text,
        )
        for text in ("plain", evil)
    )
    assert [tag for tag, _ in harmful.tags] == [tag for tag, _ in harmless.tags]
    assert [set(attributes) for _, attributes in harmful.tags] == [set(attributes) for _, attributes in harmless.tags]
    assert harmful.text.count(evil) == harmless.text.count("plain") >= 10


def test_page_asks_for_nothing_outside_itself() -> None:
    shown = page(entry(residual=np.zeros((12, 20)), autocorrelation=np.eye(3)), entry(seed=5))
    for _, attributes in shown.tags:
        for address in {"src", "href", "srcset", "action", "data"} & set(attributes):
            assert re.match(r"data:|#", attributes[address] or "")
    without_pictures = re.sub(r"base64,[\w+/=]+", "", shown.html)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|fetch\(|import ", without_pictures)
    (policy,) = (meta["content"] for meta in shown.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_contents_lead_to_each_of_several_images_even_of_one_name() -> None:
    shown = page(entry(figures=[("PSNR", "20", "30"), ("SSIM", "0.5", "0.9")]), entry(seed=3))
    ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert [a["href"] for a in shown.all("a")] == ["#image-1", "#image-2"]
    assert {"image-1", "image-2"} <= set(ids)
    assert "PSNR 20 → 30" in spaced(shown.text)
    assert not page(entry()).all("nav")


def test_slider_names_its_image() -> None:
    (slider,) = (tag for tag in page(entry("cat.png")).all("input") if tag["type"] == "range")
    assert "cat.png" in slider["aria-label"]


def test_photograph_of_24_megapixels_makes_a_page_under_ten_megabytes() -> None:
    noise = np.random.default_rng(0).standard_normal((1000, 1500, 3), dtype=np.float32) / 10
    noisy = np.rint(128 + 255 * noise).clip(0, 255).astype(np.uint8)
    noise, noisy = np.tile(noise, (4, 4, 1)), np.tile(noisy, (4, 4, 1))
    shown = page(ReportImage("big.tif", noisy, noisy, residual=noise, reference=noisy))
    assert len(shown.html) < 10e6
    assert "6000 × 4000 pixels" in shown.text
    whole, centre = (np.asarray(picture, np.float32) for picture in shown.pictures("Before"))
    height, width = centre.shape[:2]
    assert whole.shape == centre.shape
    assert height * width <= 900_000
    assert width / height == pytest.approx(1.5, rel=0.01)
    top, left = (4000 - height) // 2, (6000 - width) // 2
    crop = noisy[top : top + height, left : left + width]
    assert np.corrcoef(centre.ravel(), crop.ravel())[0, 1] > 0.95
    assert whole.std() < crop.std() / 2
    assert "averages noise away" in shown.text


def test_colour_noise_survives_the_jpeg_of_a_larger_picture() -> None:
    clean = np.full((800, 800, 3), 128.0)
    noise = np.random.default_rng(0).standard_normal((800, 800, 1)) * [25, 0, -25]  # pure chroma
    noisy = np.rint(clean + noise).clip(0, 255).astype(np.uint8)
    shown = page(ReportImage("a.jpg", noisy, noisy))
    before, after = shown.pictures("Before") + shown.pictures("After")
    assert before.format == "JPEG"
    assert before.tobytes() == after.tobytes()
    red = np.asarray(before, np.float32)[..., 0]
    assert red.std() == pytest.approx(25, rel=0.1)  # halved chroma would leave about 12
    assert "JPEG" in shown.text


def test_many_images_share_the_room_of_the_page() -> None:
    pixels = np.full((600, 800), 128, np.uint8)
    images = [ReportImage(f"{index}.png", pixels, pixels) for index in range(40)]
    sizes = [picture.size for picture in page(*images).pictures("Before")]
    assert sum(width * height for width, height in sizes) <= 12e6


def test_very_long_strip_is_not_wider_than_browsers_draw() -> None:
    strip = photo(1, 40_000, None)
    assert max(picture.width for picture in page(ReportImage("a", strip, strip)).pictures("")) <= 16_384


@pytest.mark.parametrize(
    ("field_name", "value", "message"),
    [
        ("before", photo(channels=4), r"H x W or H x W x 3.*\(12, 20, 4\)"),
        ("before", photo()[None], r"one image at a time"),
        ("before", photo(height=0), r"not empty"),
        ("after", photo(height=13), r"\(12, 20\), got \(13, 20\)"),
        ("after", photo() / 255, r"uint8.*float64"),
        ("after", None, r"uint8.*NoneType"),
        ("reference", photo(width=19), r"reference.*same image"),
        ("residual", photo(), r"residual.*floating.*uint8"),
        ("residual", np.full((12, 20), np.nan), r"residual must be finite"),
        ("autocorrelation", np.zeros((4, 4)), r"K odd.*\(4, 4\)"),
        ("autocorrelation", np.zeros((3, 5)), r"K x K"),
        ("autocorrelation", np.zeros((1, 1)), r"at least 3"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(field_name: str, value: object, message: str) -> None:
    arrays = {"before": photo(), "after": photo(seed=1)}
    with pytest.raises(ArgumentError, match=message):
        ReportImage("a.png", **(arrays | {field_name: value}))


def test_no_images_are_refused() -> None:
    with pytest.raises(ArgumentError, match="at least one image"):
        render_report([], title="Report")


def test_written_file_is_the_rendered_page(tmp_path: Path) -> None:
    images = [entry()]
    path = write_report(images, tmp_path / "report.html", title="T", summary="S")
    assert path.read_text(encoding="utf-8") == render_report(images, title="T", summary="S")
    assert list(tmp_path.iterdir()) == [path]


def test_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"exists already.*overwrite"):
        write_report([entry()], path, title="T")
    assert path.read_text() == "mine"
    write_report([entry()], path, title="T", overwrite=True)
    assert "<h1>T</h1>" in path.read_text(encoding="utf-8")


def test_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        write_report([entry()], tmp_path / "missing" / "report.html", title="T")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_report([entry()], tmp_path / "folder", title="T", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_file_name_that_is_not_utf8_can_be_reported(tmp_path: Path) -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    path = write_report([entry(name)], tmp_path / "report.html", title="T")
    assert r"caf\udce9.png" in path.read_text(encoding="utf-8")


PROBE = """<script>
addEventListener("load", () => {
  const get = (selector) => document.querySelector(selector);
  const look = () => ({
    at: get(".stage").style.getPropertyValue("--at"),
    cut: parseFloat(get(".stage").style.getPropertyValue("--cut")) / get(".pane").clientWidth,
    right: [...document.querySelectorAll(".tag[data-right]")]
      .filter((tag) => getComputedStyle(tag).visibility === "visible").map((tag) => tag.textContent),
    scale: get(".canvas").clientWidth / get(".canvas img").naturalWidth,
    lent: get(".whole [data-right=residual]")?.src === get(".map")?.src,
  });
  const seen = { start: look() };
  const slider = get("input[type=range]");
  slider.value = 20;
  slider.dispatchEvent(new Event("input"));
  get("[value=reference]")?.click();
  seen.moved = look();
  get("[value='4']").click();
  seen.enlarged = look();
  document.title = JSON.stringify(seen);
});
</script></body>"""


def probed(html: str, folder: Path) -> dict[str, dict[str, object]]:
    path = folder / "probe.html"
    path.write_text(html.replace("</body>", PROBE), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += f" --disable-component-update --disable-sync --user-data-dir={folder / 'profile'}"
    done = subprocess.run([CHROMIUM, *flags.split(), "--dump-dom", path.as_uri()], capture_output=True, timeout=60)
    title = re.search(rb"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr.decode()
    return json.loads(title[1])


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_browser_moves_the_divider_swaps_the_picture_and_enlarges(tmp_path: Path) -> None:
    pixels = photo(400, 600)
    image = ReportImage("a.png", pixels, pixels, residual=np.zeros((400, 600)), reference=pixels)
    seen = probed(render_report([image], title="T"), tmp_path)
    assert seen["start"]["right"] == ["After"]
    assert (seen["moved"]["at"], seen["moved"]["right"]) == ("20%", ["Reference"])
    assert seen["moved"]["cut"] == pytest.approx(0.2)
    assert seen["enlarged"]["scale"] == 4
    assert seen["enlarged"]["cut"] > 1  # scrolled to the middle, so the edge lies further right in the picture
    assert seen["start"]["lent"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_browser_shows_the_denoised_picture_where_it_is_the_only_choice(tmp_path: Path) -> None:
    seen = probed(render_report([entry()], title="T"), tmp_path)
    assert seen["moved"]["right"] == ["After"]
    assert seen["moved"]["at"] == "20%"
