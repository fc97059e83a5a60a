"""Adapting from one domain to another: it learns, resumes, takes noise along, and refuses what cannot work."""

from __future__ import annotations

import pytest
import timm
import torch

from noisewise.errors import ArgumentError, CheckpointError, DatasetError, SurgeryError
from noisewise.methods.adaptation import OBJECTIVES, Adaptation, Objective, adapt
from noisewise.models.preprocess import Preprocess
from noisewise.noise import CircularShift, FeatureSaltAndPepper, LinearTransform
from noisewise.train import Schedule
from noisewise.train.classifier import LabelledPixels

SIDE = 16
CENTRED = Preprocess((0.5,), (1.0,), None, False, "a test")


def vit(classes=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"img_size": SIDE, "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2}
        return timm.create_model("vit_tiny_patch16_224", num_classes=classes, **sizes).eval()


def stripes(count, seed, brightness):
    """Horizontal or vertical stripes with noise; the domain is their brightness."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    rows = (torch.arange(SIDE) % 4 < 2).float().expand(SIDE, SIDE)
    patterns = torch.stack([rows if label else rows.T for label in labels.tolist()])[:, None].expand(-1, 3, -1, -1)
    noisy = 60 * patterns + brightness + 10 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    return LabelledPixels(noisy.clamp(0, 255).byte(), labels)


SOURCE, TARGET = stripes(32, 0, 20.0), stripes(32, 1, 150.0)


def schedule(steps=4):
    return Schedule(steps=steps, batch=8, patch=SIDE, learning_rate=2e-3, warmup=2, decay=0.5, ema=0.5)


def adapted(folder, how=None, network=None, **options):
    how = how or Adaptation(OBJECTIVES["tvt"], schedule())
    settings = {"preprocess": CENTRED, "mixed_precision": "no", "checkpoint": folder / "state"}
    return adapt(network or vit(), SOURCE, TARGET.images, how, **settings | options)


def outputs(network):
    with torch.no_grad():
        return network(TARGET.images / 255 - 0.5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_gives_a_network_that_loads_again(name, tmp_path):
    network = vit()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    result = adapted(tmp_path, Adaptation(OBJECTIVES[name], schedule()), network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not result.training
    assert (outputs(result) - outputs(network)).abs().max() > 1e-5
    has_discriminator = any("discriminator" in key for key in result.state_dict())
    assert has_discriminator == bool(OBJECTIVES[name].patches)


@pytest.mark.slow
def test_the_source_is_learnt(tmp_path):
    result = adapted(tmp_path, Adaptation(OBJECTIVES["tvt"], schedule(200)))
    with torch.no_grad():
        answers = result(SOURCE.images / 255 - 0.5).argmax(1)
    assert (answers == SOURCE.labels).float().mean() > 0.9


def test_an_interrupted_run_ends_like_an_unbroken_one(tmp_path):
    class StopError(Exception):
        pass

    def stop(step, loss):
        if step == 101:
            raise StopError

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    how = Adaptation(OBJECTIVES["tvt"], schedule(102), {"last": FeatureSaltAndPepper(0.3)})
    with pytest.raises(StopError):
        adapted(tmp_path / "a", how, progress=stop)
    resumed = outputs(adapted(tmp_path / "a", how))
    whole = outputs(adapted(tmp_path / "b", how))
    assert torch.equal(resumed, whole)


@pytest.mark.parametrize(
    "other",
    [
        Adaptation(Objective(domain=0.5, patches=0.01), schedule()),
        Adaptation(OBJECTIVES["tvt"], schedule(), seed=1),
        Adaptation(OBJECTIVES["tvt"], schedule(), {"last": LinearTransform(matrix=torch.full((8, 8), 1e-9))}),
    ],
    ids=["objective", "seed", "noise"],
)
def test_a_checkpoint_of_other_settings_is_refused(other, tmp_path):
    adapted(tmp_path, Adaptation(OBJECTIVES["tvt"], schedule(), {"last": LinearTransform(matrix=torch.zeros(8, 8))}))
    with pytest.raises(CheckpointError):
        adapted(tmp_path, other)


def test_a_run_goes_on_with_more_steps_and_another_rate(tmp_path):
    adapted(tmp_path, Adaptation(OBJECTIVES["tvt"], schedule(2)))
    longer = Schedule(steps=4, batch=8, patch=SIDE, learning_rate=1e-3, warmup=2, decay=0.5, ema=0.5)
    steps = []
    adapted(tmp_path, Adaptation(OBJECTIVES["tvt"], longer), progress=lambda step, loss: steps.append(step))
    assert steps == [3, 4]


def test_noise_changes_the_training_and_is_gone_afterwards(tmp_path):
    (tmp_path / "noisy").mkdir()
    plain = adapted(tmp_path)
    noisy = adapted(tmp_path / "noisy", Adaptation(OBJECTIVES["tvt"], schedule(), {"last": CircularShift(0.3)}), vit())
    assert (outputs(plain) - outputs(noisy)).abs().max() > 1e-6
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in noisy.modules())


def test_noise_under_gradient_checkpointing_is_refused(tmp_path):
    network = vit()
    network.set_grad_checkpointing()
    noisy = Adaptation(OBJECTIVES["tvt"], schedule(), {"last": FeatureSaltAndPepper(0.3)})
    with pytest.raises(ArgumentError, match=r"network.set_grad_checkpointing\(False\)"):
        adapted(tmp_path, noisy, network)
    assert not (tmp_path / "state").exists()
    adapted(tmp_path, Adaptation(OBJECTIVES["tvt"], schedule(1)), network)


def test_too_few_outputs_or_images_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="labels from 0 to 0"):
        adapted(tmp_path, network=vit(classes=1))
    few = Adaptation(OBJECTIVES["tvt"], schedule())
    unlabelled = LabelledPixels(SOURCE.images, SOURCE.labels - 1)
    with pytest.raises(ArgumentError, match="leave unlabelled images out"):
        adapt(vit(), unlabelled, TARGET.images, few, preprocess=CENTRED, checkpoint=tmp_path / "few")
    with pytest.raises(ArgumentError, match="8-bit"):
        adapt(vit(), SOURCE, TARGET.images / 255, few, preprocess=CENTRED, checkpoint=tmp_path / "few")
    with pytest.raises(DatasetError, match="at least one batch"):
        adapt(vit(), SOURCE, TARGET.images[:4], few, preprocess=CENTRED, checkpoint=tmp_path / "few")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit2"])
def test_only_vision_transformers_are_adapted(name, tmp_path):
    network = timm.create_model(name, num_classes=2)
    if name == "test_vit2":
        network.head = torch.nn.Sequential(network.head)
    with pytest.raises(SurgeryError, match="vit_small"):
        adapted(tmp_path, network=network)
