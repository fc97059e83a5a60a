"""Training in two processes: the loss and the network of one, one checkpoint, one voice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file

from noisewise.errors import ArgumentError
from noisewise.train.shares import require_shares

LAUNCHER = [
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
]

TRAINING = """
import json, sys
from pathlib import Path
from accelerate import PartialState
from noisewise.data.patches import PatchSampler
from noisewise.train import NoisyPatches, read_recipe, train_denoiser

folder, output = map(Path, sys.argv[1:])
recipe = read_recipe(folder / "tiny.toml")
data = NoisyPatches(PatchSampler(sorted(folder.glob("*.png")), recipe.schedule.patch), recipe, seed=5)
losses = []
tell = lambda step, loss: losses.append(loss)
model = train_denoiser(recipe, data, output / "run", progress=tell, save_every=2, mixed_precision="no")
found = {"losses": losses, "processes": PartialState().num_processes}
Path(output / f"{PartialState().process_index}.json").write_text(json.dumps(found))
"""


@pytest.fixture
def folder(tmp_path, photographs, recipe_file):
    (tmp_path / "training.py").write_text(TRAINING)
    return tmp_path


def launched(*command: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)


def trained(folder: Path, name: str, *launcher: str) -> tuple[list[dict], dict[str, torch.Tensor]]:

    output = folder / name
    output.mkdir()
    ran = launched(*launcher, folder / "training.py", folder, output)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(path.read_text()) for path in sorted(output.glob("*.json"))], load_file(output / "run")


@pytest.mark.slow
def test_two_processes_train_as_one_does(folder):
    (one,), alone = trained(folder, "alone", sys.executable)
    (first, second), together = trained(folder, "together", *LAUNCHER)
    assert (one["processes"], first["processes"]) == (1, 2)
    assert first["losses"] == second["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert len(set(one["losses"])) == len(one["losses"]) == 6
    weights = [name for name in alone if name.startswith("average/")]
    assert max(float((alone[name].double() - together[name].double()).abs().max()) for name in weights) < 1e-5
    with safe_open(folder / "together" / "run", "pt") as checkpoint:
        assert checkpoint.metadata()["step"] == "6"


@pytest.mark.slow
def test_pretrain_in_two_processes_speaks_and_writes_once(folder):
    command = ("--images", folder, "--recipe", folder / "tiny.toml", "-o", folder / "network.safetensors")
    ran = launched(*LAUNCHER, "-m", "noisewise", "pretrain", *command)
    assert ran.returncode == 0, ran.stderr
    assert (folder / "network.safetensors").is_file()
    assert not (folder / "network.safetensors.checkpoint").exists()
    assert ran.stderr.count("step 6 of 6") == ran.stderr.count("trained on 3 images") == 1


def test_other_commands_refuse_a_launcher():
    environment = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "noisewise", "denoise", "x.png", "-o", "y.png"]
    ran = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "expected one process for denoise, got 2" in ran.stderr


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(type(accelerator), "num_processes", 3)
    with pytest.raises(ArgumentError, match="3 processes share evenly, got 4 images"):
        require_shares(accelerator, 4)
    with pytest.raises(ArgumentError, match="expected one process, got 3"):
        require_shares(accelerator, None)
    require_shares(accelerator, 6)
