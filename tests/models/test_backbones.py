"""Networks by a short text: what each library builds, whose weights they get, and what is refused."""

from __future__ import annotations

import argparse
import pickle
import socket
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import mobilenet_v3_small

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError, UnknownNameError, WeightsError
from noisewise.models.backbones import load_backbone, logits, starts_at_random

IMAGES = torch.rand(2, 3, 64, 64, generator=make_generator(0))
untrained = pytest.mark.filterwarnings("ignore:.*randomly initialised")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing may be downloaded."""

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def resnet():
    return timm.create_model("test_resnet", num_classes=7).eval()


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        "from torch import nn\n"
        "def small(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))\n"
        "def nothing(): return 'a network'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_networks"
    sys.modules.pop("my_networks", None)


@pytest.fixture(scope="module")
def vit():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=64, num_labels=3
    )
    return transformers.ViTForImageClassification(config).eval()


def saved(tmp_path, network):
    path = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), path)
    return path


def same(first, second):
    """Up to rounding, which may differ with where in memory the weights lie; other weights differ by far more."""
    with torch.no_grad():
        return torch.allclose(logits(first(IMAGES)), logits(second(IMAGES)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ("timm:test_resnet", lambda: timm.create_model("test_resnet")),
        ("timm:test_resnet.r160_in1k", lambda: timm.create_model("test_resnet")),
        ("torchvision:mobilenet_v3_small", mobilenet_v3_small),
    ],
)
def test_without_weights_a_network_is_untrained_and_says_so(spec, reference):
    with pytest.warns(UserWarning, match=f"{spec} is randomly initialised"):
        network = load_backbone(spec)
    assert not network.training
    assert type(network) is type(reference())
    assert network.state_dict().keys() == reference().state_dict().keys()


def test_which_networks_start_at_random(tmp_path):
    assert starts_at_random("timm:test_resnet")
    assert starts_at_random("torchvision:fcos_resnet50_fpn", "detection")
    assert not starts_at_random("my.networks:build")
    pytest.importorskip("transformers")
    assert starts_at_random("hf:segformer", "segmentation")
    assert not starts_at_random(f"hf:{tmp_path}", "segmentation")


def test_a_kind_of_transformers_network_has_the_defaults_of_its_library():
    transformers = pytest.importorskip("transformers")
    with pytest.warns(UserWarning, match="randomly initialised"):
        network = load_backbone("hf:mobilenet_v2")
    assert isinstance(network, transformers.MobileNetV2ForImageClassification)
    assert logits(network(IMAGES)).shape == (2, network.config.num_labels)


def test_weights_and_their_number_of_classes_reach_a_timm_network(resnet, tmp_path):
    assert same(load_backbone("timm:test_resnet", saved(tmp_path, resnet)), resnet)


def test_weights_and_their_number_of_classes_reach_a_torchvision_network(tmp_path):
    reference = mobilenet_v3_small(num_classes=4).eval()
    assert same(load_backbone("torchvision:mobilenet_v3_small", saved(tmp_path, reference)), reference)


def test_a_transformers_folder_is_a_trained_network(vit, tmp_path):
    vit.save_pretrained(tmp_path)
    assert same(load_backbone(f"hf:{tmp_path}"), vit)


def test_a_transformers_folder_without_weights_takes_those_of_a_file(vit, tmp_path):
    vit.config.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="no weights that can be read"):
        load_backbone(f"hf:{tmp_path}")
    assert same(load_backbone(f"hf:{tmp_path}", saved(tmp_path, vit)), vit)


def test_the_number_of_classes_of_a_file_goes_before_that_of_the_folder(vit, tmp_path):
    transformers = pytest.importorskip("transformers")
    vit.config.save_pretrained(tmp_path)
    config = transformers.ViTConfig.from_pretrained(tmp_path, num_labels=6)
    reference = transformers.ViTForImageClassification(config).eval()
    assert same(load_backbone(f"hf:{tmp_path}", saved(tmp_path, reference)), reference)


def test_a_transformers_network_without_classifier_stays_one(vit, tmp_path):
    vit.vit.save_pretrained(tmp_path)
    network = load_backbone(f"hf:{tmp_path}")
    assert network.state_dict().keys() >= vit.vit.state_dict().keys()
    with pytest.raises(ArgumentError, match="choose a network with a classifier"):
        logits(network(IMAGES))


def test_a_network_of_ones_own_with_its_weights(own_module, tmp_path):
    reference = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))
    network = load_backbone(f"{own_module}:small", saved(tmp_path, reference))
    assert same(network, reference)
    assert not network.training


@untrained
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "args": argparse.Namespace(lr=0.1)},
        lambda state: {"model_state": state},
        lambda state: {"model_state_dict": state, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model._orig_mod.{name}": tensor for name, tensor in state.items()}},
    ],
)
def test_checkpoints_are_unwrapped(resnet, tmp_path, wrap):
    path = tmp_path / "checkpoint.pt"
    torch.save(wrap(resnet.state_dict()), path)
    assert same(load_backbone("timm:test_resnet", path), resnet)


def test_a_prefix_that_the_network_has_itself_is_kept(tmp_path, monkeypatch):
    (tmp_path / "wrapped.py").write_text(
        "from torch import nn\ndef build(): return nn.ModuleDict({'model': nn.Linear(2, 2)})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    reference = nn.ModuleDict({"model": nn.Linear(2, 2)})
    loaded = load_backbone("wrapped:build", saved(tmp_path, reference))
    assert torch.equal(loaded["model"].weight, reference["model"].weight)


class Spy:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_code_in_a_file_is_never_run(tmp_path):
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    torch.save({"state_dict": {"weight": Spy(trace)}}, path)
    with pytest.raises(WeightsError, match="code, which is never run") as refused:
        load_backbone("timm:test_resnet", path)
    assert "weights_only" not in str(refused.value)  # nobody is told how to run it after all
    assert not trace.exists()


def test_a_whole_pickled_network_is_refused(resnet, tmp_path):
    torch.save(resnet, tmp_path / "network.pt")
    with pytest.raises(WeightsError, match=r"save model\.state_dict"):
        load_backbone("timm:test_resnet", tmp_path / "network.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"not weights at all", bytes(1000), pickle.dumps([1, 2], protocol=2), b"PK\x03\x04"],
    ids=["empty", "text", "zeros", "a list", "half a zip"],
)
def test_what_holds_no_weights_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="expected a state dict"):
        load_backbone("timm:test_resnet", tmp_path / name)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="'epoch' is no tensor"):
        load_backbone("timm:test_resnet", tmp_path / "weights.pt")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="found no file"):
        load_backbone("timm:test_resnet", tmp_path / "nowhere.pt")


def test_weights_of_another_network_are_refused_with_a_short_list(resnet, tmp_path):
    with pytest.raises(WeightsError, match=r"missing: .* and \d+ more; unexpected: .* and \d+ more") as caught:
        load_backbone("timm:test_vit", saved(tmp_path, resnet))
    assert len(str(caught.value)) < 800


def test_a_tensor_of_another_shape_is_named_with_both(resnet, tmp_path):
    state = {**resnet.state_dict(), "conv1.0.weight": torch.zeros(5, 3, 1, 1)}
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(
        WeightsError, match=r"another shape: conv1\.0\.weight \[5, 3, 1, 1\] instead of \[\d+, 3, 3, 3\]"
    ):
        load_backbone("timm:test_resnet", tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("timm:resnet19", "did you mean 'resnet18'"),
        ("timm:hf_hub:someone/resnet", "no timm network"),
        ("torchvision:resnet19", "did you mean 'resnet18'"),
        ("torchvision:raft_large", "no network of torchvision"),
        ("hf:mobilenet_v", "did you mean 'mobilenet_v2'"),
        ("hf:someone/absent", "hf download someone/absent"),
        ("noisewise:maskrcnn_swin_t_fpn", "did you mean 'maskrcnn_swin_v2_t_fpn'"),
        ("noisewise:yolo", "choose one of fasterrcnn_swin_v2_b_fpn"),
        ("tim:resnet18", "one of timm, torchvision, hf, noisewise or a Python module"),
        ("{own}:smal", "did you mean 'small'"),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(own_module, spec, hint):
    with pytest.raises(UnknownNameError, match=hint):
        load_backbone(spec.format(own=own_module))


@pytest.mark.parametrize("spec", ["resnet18", "timm:", ":build", ""])
def test_what_names_no_network_is_refused(spec):
    with pytest.raises(ArgumentError, match="expected a network as"):
        load_backbone(spec)


def test_a_factory_that_gives_no_network_is_refused(own_module):
    with pytest.raises(ArgumentError, match=r"to return a torch\.nn\.Module, got str"):
        load_backbone(f"{own_module}:nothing")


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ArgumentError, match=r"pip install 'noisewise\[hf\]'"):
        load_backbone("hf:vit")
