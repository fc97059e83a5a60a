"""The three tabs against the running server, through the same requests that a browser sends."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
import tifffile
import timm
import torch
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from safetensors.torch import save_file
from serving import served

from noisewise.restore.files import denoise_file

pytestmark = pytest.mark.slow

NETWORK = "timm:test_resnet"
SIGNS_OF_LIFE = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    limits = ("--max-upload", 4, "--max-pixels", 0.3, "--max-seconds", 20)
    with served(tmp_path_factory.mktemp("server"), *limits) as running:
        yield running


@pytest.fixture
def client(server, tmp_path):
    return server.client(tmp_path / "downloads")


def noisy(height=64, width=80, *, seed=0):
    """8-bit, of a scene with noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    scene = 128 + 60 * np.sin(rows / 7 + seed) * np.cos(columns / 11)
    return (scene[..., None] + rng.normal(0, 15, (height, width, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture
def labelled(tmp_path):
    """A network's weights and a zip of two classes."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=2)
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    with zipfile.ZipFile(tmp_path / "classes.zip", "w") as archive:
        for seed in range(24):
            Image.fromarray(noisy(32, 32, seed=seed)).save(tmp_path / "one.png")
            archive.write(tmp_path / "one.png", f"set/{'ab'[seed % 2]}/{seed}.png")
    return handle_file(tmp_path / "net.safetensors"), handle_file(tmp_path / "classes.zip")


def denoise(client, path, strength=1.0, quality="fast", method="network", level=None):
    return client.predict(handle_file(path), strength, quality, method, level, api_name="/denoise")


def test_a_16_bit_tiff_comes_back_as_the_command_line_makes_it(client, tmp_path):
    pixels = noisy().astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "deep.tif", pixels, photometric="rgb")
    whole, centre, residual, findings, download = denoise(client, tmp_path / "deep.tif", strength=0.7)
    denoise_file(tmp_path / "deep.tif", tmp_path / "expected.tif", strength=0.7)
    came = tifffile.imread(download)
    assert came.dtype == np.uint16
    assert np.abs(came.astype(int) - tifffile.imread(tmp_path / "expected.tif")).max() <= 1  # threads sum differently
    assert download.endswith("deep.clean.tif")
    assert "16 bits" not in findings  # 8-bit values on a 16-bit scale are seen through
    before = np.asarray(Image.open(whole[0]))
    assert np.array_equal(before, noisy())
    assert Image.open(centre[1]).size == Image.open(residual).size == (80, 64)


@pytest.mark.parametrize(
    ("strength", "quality", "method", "level", "said"),
    [
        (2.0, "fast", "network", None, "strength|maximum|2"),
        (1.0, "fast", "network", 300, "noise level from 0 to 255, got 300"),
        (1.0, "worst", "network", None, "worst"),
        (1.0, "fast", "magic", None, "magic"),
    ],
)
def test_settings_that_cannot_be_are_told(client, tmp_path, strength, quality, method, level, said):
    Image.fromarray(noisy()).save(tmp_path / "a.png")
    with pytest.raises(AppError, match=said):
        denoise(client, tmp_path / "a.png", strength, quality, method, level)


def test_what_is_too_large_is_refused(client, tmp_path):
    Image.fromarray(noisy(600, 600)).save(tmp_path / "many.jpg")
    with pytest.raises(AppError, match=r"Cannot read many\.jpg: its 600 x 600 pixels exceed the limit of 0\.3"):
        denoise(client, tmp_path / "many.jpg")
    (tmp_path / "heavy.png").write_bytes(bytes(5_000_000))
    with pytest.raises(Exception, match=r"413|size"):
        denoise(client, tmp_path / "heavy.png")


def test_it_answers_while_it_works_and_stops_in_time(server, client, tmp_path):
    Image.fromarray(noisy(256, 256)).save(tmp_path / "long.png")
    start = time.monotonic()
    job = client.submit(handle_file(tmp_path / "long.png"), 1.0, "best", "self2self", None, api_name="/denoise")
    for _ in range(SIGNS_OF_LIFE):
        time.sleep(1)
        asked = time.monotonic()
        with urllib.request.urlopen(server.address, timeout=10) as answer:
            assert b"noisewise" in answer.read()
        assert time.monotonic() - asked < 3
        assert not job.done()
    with pytest.raises(AppError, match="longer than the 20 seconds"):
        job.result(timeout=60)
    assert 15 < time.monotonic() - start < 50


def test_a_hardened_network_loads_into_plain_timm(client, labelled):
    weights, images = labelled
    noises = "gaussian:sigma=30\ngaussian:sigma=60"
    agreement, download, layers = client.predict(NETWORK, weights, [images], noises, 1.0, 32, api_name="/harden")
    assert "Of 5 images that it was not fitted on" in agreement
    assert {row[0] for row in layers["data"]} >= {"conv1.0", "fc"}
    timm.create_model("test_resnet", num_classes=2, checkpoint_path=download)


@pytest.mark.parametrize(("noise", "verdict"), [("none", "do not depend"), ("optimal", "depend on the other")])
def test_an_audit_finds_what_is_there(client, labelled, noise, verdict):
    said, table = client.predict(NETWORK, *labelled, noise, 32, api_name="/audit")
    assert verdict in said
    assert len(table["data"]) == 9


def test_a_visitor_cannot_run_code(client, labelled):
    weights, images = labelled
    with pytest.raises(AppError, match="timm or torchvision"):
        client.predict("os:getcwd", weights, images, "none", 32, api_name="/audit")


def test_files_of_the_machine_are_not_served(server):
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{server.address}gradio_api/file=/etc/passwd", timeout=10)


def test_nothing_is_left_when_it_stops(tmp_path):
    (tmp_path / "made").mkdir()
    with served(tmp_path / "made") as running:
        Image.fromarray(noisy()).save(tmp_path / "a.png")
        denoise(running.client(tmp_path / "downloads"), tmp_path / "a.png")
        assert [path for path in (tmp_path / "made").rglob("*") if path.is_file()]
    assert running.process.returncode == 0
    assert not list((tmp_path / "made").rglob("noisewise*"))
