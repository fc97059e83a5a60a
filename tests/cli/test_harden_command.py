"""``noisewise harden``: what a user of timm gets, without noisewise in the end."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from command_line import contents, photo
from safetensors.torch import load_file, save_file

NAME = "test_resnet"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights as a user has them, of seven classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(NAME, num_classes=7)
    path = tmp_path_factory.mktemp("trained") / "trained.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for seed in range(6):
        photo(folder / f"{seed}.png", seed=seed)
    return folder


@pytest.fixture
def harden(run, trained, images, tmp_path):
    def call(*options):
        arguments = ("--weights", trained, "--images", images, "--noise", "gaussian:sigma=30", "--size", 32)
        return run("harden", f"timm:{NAME}", *arguments, "-o", tmp_path / "hard.safetensors", *options)

    return call


def test_the_result_loads_into_plain_timm(harden, trained, tmp_path):
    ran = harden()
    assert ran.code == 0
    hardened, before = load_file(tmp_path / "hard.safetensors"), load_file(trained)
    assert {name: value.shape for name, value in hardened.items()} == {n: v.shape for n, v in before.items()}
    assert any(not torch.equal(hardened[name], before[name]) for name in before)
    timm.create_model(NAME, num_classes=7, checkpoint_path=str(tmp_path / "hard.safetensors"))


def test_the_json_names_every_layer_and_the_agreement(harden):
    said = json.loads(harden("--json").out)
    assert {row["name"] for row in said["layers"]} >= {"conv1.0", "fc"}
    assert said["agreement"].keys() == {"before", "after", "images"}
    assert said["images"] + said["agreement"]["images"] == 6


def test_layers_can_be_fitted_for_what_becomes_of_their_output(harden, tmp_path):
    assert harden().code == 0
    plain = load_file(tmp_path / "hard.safetensors")
    said = json.loads(harden("--downstream", "--json", "--overwrite").out)
    fitted = {row["name"]: row["status"] for row in said["layers"]}
    assert "error left in what a ReLU passes of the output" in fitted["conv1.0"]
    assert "ReLU" not in fitted["fc"]
    changed = load_file(tmp_path / "hard.safetensors")
    assert changed.keys() == plain.keys()
    assert not torch.equal(changed["conv1.0.weight"], plain["conv1.0.weight"])


def test_the_images_can_be_brought_to_another_shape(harden):
    said = json.loads(harden("--size", "24x40", "--json").out)
    assert said["size"] == [24, 40]
    assert "HEIGHTxWIDTH" in harden("--size", "wide", "--overwrite").err


def test_want_of_memory_is_no_defect(harden, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 bytes")

    monkeypatch.setattr("noisewise.models.preprocess.resolve_preprocess", refuse)
    ran = harden()
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert ran.err.startswith("error: this takes more memory than there is")


def test_only_the_targets_change(harden, trained, tmp_path):
    assert harden("--targets", "^fc$").code == 0
    hardened, before = load_file(tmp_path / "hard.safetensors"), load_file(trained)
    assert {name for name in before if not torch.equal(hardened[name], before[name])} <= {"fc.weight", "fc.bias"}


def test_chunks_give_the_same_network(harden, tmp_path):
    assert harden().code == 0
    whole = load_file(tmp_path / "hard.safetensors")
    assert harden("--chunk", 2, "--overwrite").code == 0
    chunked = load_file(tmp_path / "hard.safetensors")
    for name, value in whole.items():
        torch.testing.assert_close(chunked[name], value, rtol=1e-2, atol=1e-3)


BAD = {
    ("--noise", "gausian"): "did you mean",
    ("--targets", "nothing"): "no layer",
    ("--targets", "("): "regular expression",
    ("--weights", "missing.pt"): "missing.pt",
    ("--images", "nowhere"): "nowhere",
    ("-o", "hard.png"): "ends in .safetensors",
}


@pytest.mark.parametrize("options", BAD, ids=" ".join)
def test_bad_input_is_told_in_one_line_and_writes_nothing(options, harden, tmp_path):
    before = contents(tmp_path)
    ran = harden(*options)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert BAD[options] in ran.err
    assert contents(tmp_path) == before


def test_an_output_that_exists_is_refused(harden, tmp_path):
    (tmp_path / "hard.safetensors").write_bytes(b"mine")
    ran = harden()
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert (tmp_path / "hard.safetensors").read_bytes() == b"mine"


def test_a_network_of_ones_own_from_the_working_folder(run, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_nets.py").write_text(
        "import torch\n\n\ndef build():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(3600, 2))\n"
    )
    arguments = ("--images", images, "--noise", "gaussian:sigma=30", "-o", tmp_path / "own.safetensors")
    assert "--size" in run("harden", "my_nets:build", *arguments).err
    assert run("harden", "my_nets:build", *arguments, "--size", 32).code == 0
    assert load_file(tmp_path / "own.safetensors").keys() == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_a_slip_in_the_noise_is_told_before_any_image_is_read(run, trained, images, tmp_path):
    (images / "0.png").write_bytes(b"no image")
    call = ("--weights", trained, "--images", images, "--noise", "gausian:sigma=3", "--size", 32)
    assert "did you mean 'gaussian'" in run("harden", f"timm:{NAME}", *call, "-o", tmp_path / "x.safetensors").err


def test_an_unreadable_image_is_told_before_the_fit(harden, images, tmp_path):
    (images / "3.png").write_bytes(b"no image")
    ran = harden("--chunk", 2)
    assert (ran.code, (tmp_path / "hard.safetensors").exists()) == (2, False)
    assert "3.png" in ran.err


@pytest.mark.slow
def test_workers_of_a_cluster_find_what_one_process_finds(run, trained, images, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)  # workers are in another folder
    call = ["harden", f"timm:{NAME}", "--weights", trained, "--images", "images", "--noise", "gaussian:sigma=30"]
    call += ["--size", 32, "--chunk", 2]
    assert run(*call, "-o", "here.safetensors").code == 0
    assert run(*call, "-o", "there.safetensors", "--engine", "ray").code == 0
    here, there = (load_file(tmp_path / f"{name}.safetensors") for name in ("here", "there"))
    for name, value in here.items():
        assert (there[name] - value).abs().max() <= 1e-3 * value.abs().max(), name  # other threads round otherwise
