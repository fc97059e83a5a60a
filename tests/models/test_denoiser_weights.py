"""Weights in files: what is written comes back, what is broken is refused, what ships removes noise."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from noisewise._rng import make_generator
from noisewise.errors import WeightsError
from noisewise.models import BlindDenoiser, load_denoiser, save_network
from noisewise.noise import Gaussian

ARCHITECTURE = {"widths": [8, 12], "blocks": [1, 1], "estimator_width": 8}
SHIPPED = files("noisewise.models") / "weights" / "denoiser.safetensors"
needs_shipped_weights = pytest.mark.skipif(not SHIPPED.is_file(), reason="no weights are in the package yet")


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)  # torch's initialisers take no generator
    model = BlindDenoiser(**ARCHITECTURE)
    model.unet.tail.weight.data.normal_(generator=make_generator(0))
    path = tmp_path / "weights.safetensors"
    save_network(model, path, architecture=ARCHITECTURE, notes={"source": "a test"})
    return model, path


def test_what_is_saved_comes_back_in_half_precision(saved):
    model, path = saved
    loaded = load_denoiser(path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.half().float())


def test_loaded_weights_are_ready_for_inference_in_single_precision(saved):
    loaded = load_denoiser(saved[1])
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_loaded_and_saved_again_loses_nothing(saved, tmp_path):
    loaded, again = load_denoiser(saved[1]), tmp_path / "again.safetensors"
    save_network(loaded, again, architecture=ARCHITECTURE, notes={})
    for name, tensor in load_denoiser(again).state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_the_file_carries_architecture_and_notes(saved):
    with safe_open(saved[1], "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["architecture"]) == ARCHITECTURE
    assert metadata["source"] == "a test"


def test_a_missing_file_is_refused_and_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors.*found no file"):
        load_denoiser(tmp_path / "nowhere.safetensors")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(WeightsError):
        load_denoiser(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved, share):
    _, path = saved
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match="does not hold a denoiser"):
        load_denoiser(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"not weights at all", bytes(1000)])
def test_another_kind_of_file_is_refused(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="does not hold a denoiser"):
        load_denoiser(path)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"other": "x"},
        {"architecture": "{"},
        {"architecture": "[1]"},
        {"architecture": "null"},
        {"architecture": '{"depth": 3}'},
        {"architecture": '{"widths": [8, 12], "blocks": [1]}'},
        {"architecture": '{"widths": [8, 16], "blocks": [1, 1], "estimator_width": 8}'},
        {"architecture": '{"widths": [-8, 12], "blocks": [1, 1], "estimator_width": 8}'},
        {"architecture": '{"widths": "ab", "blocks": [1, 1]}'},
    ],
)
def test_safetensors_of_another_network_are_refused(saved, metadata):
    model, path = saved
    save_file({name: tensor.half() for name, tensor in model.state_dict().items()}, path, metadata)
    with pytest.raises(WeightsError, match="does not hold a denoiser"):
        load_denoiser(path)


def test_a_file_that_lacks_a_layer_is_refused(saved):
    model, path = saved
    tensors = {name: tensor for name, tensor in model.state_dict().items() if "tail" not in name}
    save_file(tensors, path, {"architecture": json.dumps(ARCHITECTURE)})
    with pytest.raises(WeightsError, match="does not hold a denoiser"):
        load_denoiser(path)


def photograph() -> torch.Tensor:
    """Shaded discs over a sky, as smooth as a photograph out of focus, ``1 x 3 x 128 x 128``."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    sky = torch.stack([0.3 + 0.2 * y, 0.5 + 0.1 * x, 0.7 - 0.2 * y])
    for centre_y, centre_x, radius, colour in [(-0.3, -0.3, 0.4, (0.8, 0.3, 0.2)), (0.4, 0.2, 0.5, (0.2, 0.6, 0.3))]:
        disc = torch.sigmoid(20 * (radius - torch.hypot(y - centre_y, x - centre_x)))
        sky = sky + disc * (torch.tensor(colour).view(3, 1, 1) * (1 + 0.3 * x) - sky)
    return sky[None].clamp(0, 1)


def decibels(estimate, truth):
    return float(-10 * torch.log10((estimate - truth).square().mean()))


@pytest.fixture(scope="module")
def shipped():
    return load_denoiser()


@needs_shipped_weights
def test_the_shipped_weights_are_small():
    assert SHIPPED.stat().st_size <= 6 * 1024**2


@needs_shipped_weights
def test_the_shipped_network_is_the_default_architecture(shipped):
    default = {name: tensor.shape for name, tensor in BlindDenoiser().state_dict().items()}
    assert {name: tensor.shape for name, tensor in shipped.state_dict().items()} == default


@needs_shipped_weights
@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_the_shipped_network_removes_noise_and_knows_its_level(shipped, sigma):
    clean = photograph()
    noisy = Gaussian(sigma / 255)(clean, generator=make_generator(0))
    restored = shipped(noisy)
    assert decibels(restored.image.clamp(0, 1), clean) - decibels(noisy.clamp(0, 1), clean) >= 6
    assert float(restored.noise_map.mean()) == pytest.approx(sigma / 255, rel=0.2)


@needs_shipped_weights
def test_the_shipped_network_leaves_a_clean_photograph_almost_alone(shipped):
    assert decibels(shipped(photograph()).image, photograph()) > 38
