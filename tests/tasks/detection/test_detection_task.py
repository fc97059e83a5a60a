"""Detectors of torchvision and transformers, asked and hardened."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from noisewise._rng import make_generator
from noisewise.data.detection import Objects
from noisewise.errors import ArgumentError
from noisewise.methods.denoiserep import attach
from noisewise.models import fasterrcnn_swin_v2_fpn, load_backbone, resolve_preprocess
from noisewise.noise import parse_noise
from noisewise.tasks.detection import Detection, ap_difference, detect

pytest.importorskip("faster_coco_eval")
pytestmark = pytest.mark.filterwarnings("ignore:.*randomly initialised")


class BrightSpot(nn.Module):
    """Finds the box around what is brighter than the middle, as torchvision's detectors say it."""

    def forward(self, images):
        bright = images[0].mean(0) > 0.5
        rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
        if not len(rows):
            return [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "scores": torch.zeros(0)}]
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return [{"boxes": torch.tensor([box]).float(), "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}]


def photographs():
    for index in range(4):
        image = torch.zeros(3, 40 + index, 50)
        image[:, 5 : 20 + index, 10:30] = 1
        yield image, Objects(torch.tensor([[10.0, 5.0, 30.0, 20.0 + index]]), torch.tensor([1]))


def test_a_detector_that_is_right_has_all_points_and_loses_them_to_noise():
    clean = dict(Detection(list(photographs()))(BrightSpot()))
    noisy = dict(Detection(list(photographs()), parse_noise("gaussian:sigma=200"))(BrightSpot()))
    assert clean == {"ap": pytest.approx(100), "ap50": pytest.approx(100)}
    assert noisy["ap"] < 50


def test_the_difference_is_that_of_the_two_ap_and_its_interval_holds_it():
    clean, noisy = Detection(list(photographs())), Detection(list(photographs()), parse_noise("gaussian:sigma=200"))
    runs, told = [task.find(BrightSpot()) for task in (clean, noisy)], []
    interval = ap_difference(*runs, resamples=20, progress=told.append)
    assert interval.mean == pytest.approx(100 - dict(noisy(BrightSpot()))["ap"])
    assert 0 < interval.low <= interval.mean <= interval.high
    assert told == list(range(1, 41))
    assert ap_difference(runs[0], runs[0], resamples=20) == (0, 0, 0)


def test_masks_are_kept_only_if_wanted():
    class Drawing(BrightSpot):
        def forward(self, images):
            (found,) = super().forward(images)
            return [found | {"masks": torch.ones(len(found["boxes"]), 1, *images.shape[-2:])}]

    kept, dropped = (detect(Drawing(), list(photographs()), masks=masks)[0] for masks in (True, False))
    assert all(one.masks.all() for one in kept)
    assert all(one.masks is None for one in dropped)


def test_what_is_no_detector_is_refused():
    with pytest.raises(ArgumentError, match="a network that detects objects"):
        detect(nn.Flatten(), list(photographs()))
    with pytest.raises(ArgumentError, match="got none"):
        detect(BrightSpot(), [])


def small_detr():
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1])
    backbone.out_features = ["stage4"]
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "num_queries": 5}
    feet = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone_config=backbone, **sizes, **feet
    )
    return transformers.DetrForObjectDetection(config).eval()


def test_a_detr_of_transformers_is_asked():
    network = small_detr()
    found, truths = detect(network, list(photographs())[:1], preprocess=resolve_preprocess(network))
    assert found[0].boxes.shape == (5, 4)
    assert truths[0].size == (40, 50)


@torch.no_grad()
def test_hardening_a_swin_detector_teaches_its_stages_and_leaves_what_sees_no_image():
    few = {"rpn_post_nms_top_n_test": 20, "box_score_thresh": 0.0}  # of any score, as with random weights none is high
    network = fasterrcnn_swin_v2_fpn(min_size=64, max_size=96, **few).eval()
    images, passes = torch.rand(2, 3, 64, 96, generator=make_generator(0)), []
    hook = network.backbone.body.register_forward_hook(lambda _, inputs, maps: passes.append((*inputs, maps)))
    first_stage = re.compile(r"body\.features\.[01]\.")
    handle = attach(network, first_stage, mode="paired").fit_paired(images, "gaussian:sigma=20", rows_per_dimension=1)
    hook.remove()
    fused, (views, maps) = handle.fuse(check=images), passes[-1]
    for name, found in maps.items():
        torch.testing.assert_close(found[:2], network.backbone.body(views[:2])[name], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[2:], fused.backbone.body(views[2:])[name], rtol=1e-5, atol=1e-5)
        assert not torch.allclose(found[2:], network.backbone.body(views[2:])[name], atol=1e-2)
    reasons = {row.name: row.status for row in handle.table()}
    blind = {reasons[f"backbone.body.features.1.{block}.attn.cpb_mlp.{layer}"] for block in (0, 1) for layer in (0, 2)}
    assert blind == {"what it sees does not depend on the image"}
    fitted = [name for name, status in reasons.items() if status.startswith("error left")]
    perceptrons = [f"backbone.body.features.1.{block}.mlp.{layer}" for block in (0, 1) for layer in (0, 3)]
    assert fitted == ["backbone.body.features.0.0", *perceptrons]


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn",
        "torchvision:maskrcnn_resnet50_fpn",
        "torchvision:retinanet_resnet50_fpn",
        "torchvision:fcos_resnet50_fpn",
        "noisewise:maskrcnn_swin_v2_t_fpn",
        "detr",
    ],
)
def test_hardening_a_detector_fuses_exactly_and_leaves_regions_alone(spec):
    network = small_detr() if spec == "detr" else load_backbone(spec)
    if spec != "detr":
        network.transform.min_size, network.transform.max_size = (96,), 128
    images = torch.rand(2, 3, 64, 96, generator=make_generator(0))
    handle = attach(network, mode="paired").fit_paired(images, "gaussian:sigma=20", rows_per_dimension=1)
    handle.fuse(check=images)
    rows = {row.name: row.status for row in handle.table()}
    assert sum(status.startswith("error left") for status in rows.values()) > 5
    assert not any(status.startswith("error left") for name, status in rows.items() if name.startswith("roi_heads."))
