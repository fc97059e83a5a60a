"""What a segmenter is worth, clean and noisy, whichever library it comes from; and that hardening reaches it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.methods.denoiserep import attach
from noisewise.models import load_backbone, logits
from noisewise.noise import parse_noise
from noisewise.tasks.segmentation import Segmentation, class_maps, miou_difference, segment

pytestmark = pytest.mark.filterwarnings("ignore:.*randomly initialised")

CLASSES = 3
SPECS = ["torchvision:lraspp_mobilenet_v3_large", "hf:segformer"]


class Thresholds(nn.Module):
    """Dark, middle and light, at half the resolution."""

    def forward(self, images):
        grey = nn.functional.avg_pool2d(images.mean(1, keepdim=True), 2)
        return torch.cat([-(grey - centre).abs() for centre in (0.1, 0.5, 0.9)], dim=1)


def batches(count=6, size=2):
    labels = torch.randint(CLASSES, (count, 4, 5), generator=make_generator(0))
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = torch.tensor([0.1, 0.5, 0.9])[labels][:, None].expand(-1, 3, -1, -1)
    return list(zip(images.split(size), labels.split(size), strict=True))


def test_a_network_that_is_right_has_all_points():
    found = dict(Segmentation(batches(), CLASSES)(Thresholds()))
    assert found["miou"] > 95  # but for what enlarging the logits does at the borders
    assert found["accuracy"] > 95
    assert found["boundary_iou"] > 80


def test_noise_costs_points_and_neither_batches_nor_chance_matter():
    noise = parse_noise("gaussian:sigma=250")
    clean, noisy = (segment(Thresholds(), batches(), CLASSES, noise=one) for one in (None, noise))
    again = segment(Thresholds(), batches(size=3), CLASSES, noise=noise)
    assert noisy.miou < clean.miou - 10
    assert torch.equal(noisy.counts, again.counts)
    assert not torch.equal(noisy.counts, segment(Thresholds(), batches(), CLASSES, noise=noise, seed=1).counts)


def test_the_difference_is_that_of_the_two_mean_iou_and_its_interval_holds_it():
    noise = parse_noise("gaussian:sigma=250")
    clean, noisy = (segment(Thresholds(), batches(), CLASSES, noise=one) for one in (None, noise))
    interval = miou_difference(clean, noisy)
    assert interval.mean == pytest.approx(clean.miou - noisy.miou)
    assert 10 < interval.low <= interval.mean <= interval.high


def test_what_is_no_segmenter_is_refused():
    with pytest.raises(ArgumentError, match="choose a network that segments"):
        segment(nn.Flatten(), batches(), CLASSES)
    with pytest.raises(ArgumentError, match="got none"):
        segment(Thresholds(), [], CLASSES)
    with pytest.raises(ArgumentError, match="does it belong"):
        segment(Thresholds(), batches(), 2)


@pytest.mark.parametrize("spec", SPECS)
def test_segmenters_of_both_libraries_are_built_and_asked(spec):
    network = load_backbone(spec, task="segmentation")
    maps = class_maps(network(torch.rand(1, 3, 48, 64, generator=make_generator(0))), (48, 64))
    assert maps.shape == (1, 48, 64)


@pytest.mark.parametrize("spec", ["torchvision:fcn_resnet50", "torchvision:lraspp_mobilenet_v3_large"])
def test_the_number_of_classes_follows_the_file(spec, tmp_path):
    from torchvision.models import get_model

    network = get_model(spec.removeprefix("torchvision:"), num_classes=11, weights_backbone=None)
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    output = logits(load_backbone(spec, tmp_path / "mine.safetensors")(torch.rand(1, 3, 32, 32)))
    assert output.shape == (1, 11, 32, 32)


def small_upernet():
    """As it comes, its widest convolutions have 36,864 inputs, whose normal equations take 10 GB."""
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    heads = {"hidden_size": 16, "auxiliary_in_channels": 16, "auxiliary_channels": 8, "num_labels": CLASSES}
    config = transformers.UperNetConfig(backbone_config=backbone, use_pretrained_backbone=False, **heads)
    return transformers.UperNetForSemanticSegmentation(config).eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    ["torchvision:deeplabv3_mobilenet_v3_large", "torchvision:lraspp_mobilenet_v3_large", "hf:segformer", "upernet"],
)
def test_hardening_a_segmenter_fuses_exactly(spec):
    network = small_upernet() if spec == "upernet" else load_backbone(spec, task="segmentation")
    images = torch.rand(3, 3, 64, 96, generator=make_generator(0))
    handle = attach(network, mode="paired").fit_paired(images, "gaussian:sigma=20", rows_per_dimension=1)
    fused = handle.fuse(check=images)
    with torch.no_grad():
        ours, theirs = logits(fused(images)), logits(handle(images))
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    assert sum(row.status.startswith("error left") for row in handle.table()) > 10
