"""Networks in other formats, read back by those formats' own readers."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError, OutputError
from noisewise.models.export import export_onnx, export_program, export_torchscript

EXAMPLE = torch.rand(2, 3, 16, 16, generator=make_generator(0))


def read_onnx(path):
    session = pytest.importorskip("onnx.reference").ReferenceEvaluator(str(path))
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


FORMATS = {
    "onnx": (export_onnx, read_onnx),
    "pt": (export_torchscript, torch.jit.load),
    "pt2": (export_program, lambda path: torch.export.load(path).module()),
}


@pytest.fixture(scope="module")
def small():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).eval()


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_file_gives_the_output_of_the_network_at_every_batch_size(small, tmp_path, suffix):
    export, read = FORMATS[suffix]
    path = tmp_path / f"small.{suffix}"
    export(small, EXAMPLE, path)
    written = read(path)
    for size in (1, 2, 5):
        images = torch.rand(size, 3, 16, 16, generator=make_generator(size))
        torch.testing.assert_close(written(images), small(images).detach(), rtol=1e-4, atol=1e-5)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_image_is_example_enough(small, tmp_path, suffix):
    export, read = FORMATS[suffix]
    export(small, EXAMPLE[:1], tmp_path / f"small.{suffix}")
    assert read(tmp_path / f"small.{suffix}")(EXAMPLE).shape == (2, 5)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_transformers_network_gives_its_logits(tmp_path, suffix):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    model = transformers.ViTForImageClassification(config).eval()
    export, read = FORMATS[suffix]
    export(model, EXAMPLE, tmp_path / f"vit.{suffix}")
    with torch.no_grad():
        expected = model(EXAMPLE).logits
    torch.testing.assert_close(read(tmp_path / f"vit.{suffix}")(EXAMPLE).detach(), expected, rtol=1e-4, atol=1e-5)


def test_the_names_of_the_weights_stay(small, tmp_path):
    export_program(small, EXAMPLE, tmp_path / "small.pt2")
    assert torch.export.load(tmp_path / "small.pt2").state_dict.keys() == small.state_dict().keys()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_is_there_stays_unless_told(small, tmp_path, suffix):
    path = tmp_path / f"small.{suffix}"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="overwrite"):
        FORMATS[suffix][0](small, EXAMPLE, path)
    assert path.read_bytes() == b"mine"


def test_a_file_that_is_there_goes_when_told(small, tmp_path):
    path = tmp_path / "small.pt"
    path.write_bytes(b"mine")
    export_torchscript(small, EXAMPLE, path, overwrite=True)
    assert torch.jit.load(path)(EXAMPLE).shape == (2, 5)


def test_a_missing_folder_is_refused(small, tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        export_torchscript(small, EXAMPLE, tmp_path / "nowhere" / "small.pt")


class Frozen(nn.Module):
    """Adds its batch size, which tracing takes for a constant."""

    def forward(self, images):
        return images.flatten(1).mean(1, keepdim=True) + int(images.shape[0])


class Chance(nn.Module):
    def forward(self, images):
        return F.dropout(images, 0.5, training=True).flatten(1)


class Branching(nn.Module):
    def forward(self, images):
        return images + 1 if images.sum() > 0 else images - 1


@pytest.mark.parametrize(
    ("model", "export"), [(Frozen(), export_torchscript), (Chance(), export_torchscript), (Branching(), export_program)]
)
def test_a_network_that_no_file_can_hold_is_refused_and_leaves_nothing(tmp_path, model, export):
    with pytest.raises(ArgumentError, match=r"depends on|cannot hold this network"):
        export(model.eval(), EXAMPLE, tmp_path / "network.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_network_in_train_mode_is_refused(tmp_path, suffix):
    with pytest.raises(ArgumentError, match=r"call model\.eval\(\)"):
        FORMATS[suffix][0](nn.Flatten().train(), EXAMPLE, tmp_path / "network")


def test_without_onnx_the_extra_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ArgumentError, match=r"pip install 'noisewise\[onnx\]'"):
        export_onnx(small, EXAMPLE, tmp_path / "small.onnx")
