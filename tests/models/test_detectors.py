"""Swin V2 detectors against torchvision's own Swin Transformer and its own detectors."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import Swin_V2_B_Weights, Swin_V2_S_Weights, Swin_V2_T_Weights, swin_v2_t
from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn

from noisewise._rng import initialised, make_generator
from noisewise.models import fasterrcnn_swin_v2_fpn, load_backbone, maskrcnn_swin_v2_fpn
from noisewise.models.detectors import swin_v2_fpn

PUBLISHED = {"t": Swin_V2_T_Weights, "s": Swin_V2_S_Weights, "b": Swin_V2_B_Weights}
WIDTHS = {"t": 96, "s": 96, "b": 128}
COUNTERPARTS = [(maskrcnn_swin_v2_fpn, maskrcnn_resnet50_fpn), (fasterrcnn_swin_v2_fpn, fasterrcnn_resnet50_fpn)]


@pytest.fixture(scope="module")
def classifier():
    return initialised(lambda: swin_v2_t(weights=None), 0).eval()


@pytest.fixture(scope="module")
def pyramid(classifier):
    network = initialised(swin_v2_fpn, 1).eval()
    network.body.load_state_dict(classifier.state_dict(), strict=False)
    return network


@pytest.fixture(scope="module")
def detector():
    """That finds boxes of any score, as with random weights none is high."""
    return initialised(lambda: fasterrcnn_swin_v2_fpn(min_size=64, max_size=96, box_score_thresh=0.0), 0)


def random_images(*shape):
    return torch.rand(*shape, generator=make_generator(0))


def on_paper(build, *arguments, **options):
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build(*arguments, **options)


def shapes(network, *parts):
    return {name: value.shape for name, value in network.state_dict().items() if name.startswith(parts)}


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_stages_have_as_many_parameters_as_is_published_of_the_classifier(size):
    widths = [WIDTHS[size] * 2**stage for stage in range(4)]
    norms, last_norm, head = 2 * sum(widths), 2 * widths[-1], 1000 * (widths[-1] + 1)
    published = PUBLISHED[size].IMAGENET1K_V1.meta["num_params"]
    body = on_paper(swin_v2_fpn, size).body
    assert sum(one.numel() for one in body.parameters()) == published - head - last_norm + norms


def test_all_keys_of_the_features_are_those_of_the_classifier(classifier):
    assert shapes(on_paper(swin_v2_fpn).body, "features.") == shapes(classifier, "features.")


@pytest.mark.parametrize(("build", "reference"), COUNTERPARTS)
def test_all_behind_the_pyramid_is_that_of_torchvisions_detector(build, reference):
    expected = on_paper(reference, weights=None, weights_backbone=None)
    ours = on_paper(build)
    assert shapes(ours, "rpn.", "roi_heads.") == shapes(expected, "rpn.", "roi_heads.")
    assert shapes(ours, "backbone.fpn").keys() == shapes(expected, "backbone.fpn").keys()


@pytest.mark.parametrize("sides", [(64, 96), (45, 71), (33, 130), (4, 5)])
@torch.no_grad()
def test_the_last_map_is_what_the_classifier_pools(classifier, pyramid, sides):
    images = random_images(2, 3, *sides)
    expected = classifier.permute(classifier.norm(classifier.features(images)))
    torch.testing.assert_close(pyramid.body(images)["3"], expected)


@pytest.mark.parametrize(("height", "width"), [(64, 128), (45, 71), (33, 130)])
@torch.no_grad()
def test_the_strides_double_from_four(pyramid, height, width):
    maps = pyramid(random_images(2, 3, height, width))
    rows, columns = height // 4, width // 4
    for name in ("0", "1", "2", "3", "pool"):
        assert maps[name].shape == (2, 256, rows, columns)
        rows, columns = (rows + 1) // 2, (columns + 1) // 2


@torch.no_grad()
def test_images_of_any_sizes_have_their_boxes_within(detector):
    images = [random_images(3, *sides) for sides in ((37, 201), (128, 50), (1, 1))]
    for image, found in zip(images, detector.eval()(images), strict=True):
        height, width = image.shape[1:]
        assert set(found) == {"boxes", "labels", "scores"}
        assert (found["boxes"] >= 0).all()
        assert (found["boxes"] <= torch.tensor([width, height, width, height])).all()
    assert len(found["boxes"]) > 0


def test_a_loss_reaches_all_that_is_trained(detector):
    detector.train()
    target = {"boxes": torch.tensor([[10.0, 12.0, 50.0, 40.0]]), "labels": torch.tensor([1])}
    losses = detector([random_images(3, 64, 96)] * 2, [target] * 2)
    sum(losses.values()).backward()
    without = [name for name, one in detector.named_parameters() if one.grad is None or not one.grad.isfinite().all()]
    detector.zero_grad()
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert without == []


def test_weights_and_their_number_of_classes_reach_a_detector_by_name(tmp_path):
    reference = initialised(lambda: maskrcnn_swin_v2_fpn(num_classes=3), 0)
    save_file(reference.state_dict(), tmp_path / "mine.safetensors")
    loaded = load_backbone("noisewise:maskrcnn_swin_v2_t_fpn", tmp_path / "mine.safetensors")
    assert not loaded.training
    expected = reference.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())


def test_without_weights_a_detector_has_the_classes_of_coco_and_says_that_it_is_untrained():
    with pytest.warns(UserWarning, match="fasterrcnn_swin_v2_t_fpn is randomly initialised"):
        network = load_backbone("noisewise:fasterrcnn_swin_v2_t_fpn")
    assert network.roi_heads.box_predictor.cls_score.out_features == 91
