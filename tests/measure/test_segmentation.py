"""Confusion, mean IoU and boundary IoU against scikit-learn, torchmetrics and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score
from torchmetrics.functional.segmentation import mean_iou as reference_mean_iou

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.segmentation import (
    IGNORED,
    boundary,
    boundary_counts,
    class_iou,
    confusion,
    mean_iou,
    mean_iou_difference,
    pixel_accuracy,
)

CLASSES = 4


def maps(seed, count=3, height=11, width=14):
    """A truth of blocks with some pixels ignored, and a prediction that is wrong here and there."""
    generator = make_generator(seed)
    coarse = torch.randint(CLASSES, (count, height // 3 + 1, width // 3 + 1), generator=generator)
    truth = coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width].clone()
    wrong = torch.rand(truth.shape, generator=generator) < 0.2
    prediction = torch.where(wrong, torch.randint(CLASSES, truth.shape, generator=generator), truth)
    truth[torch.rand(truth.shape, generator=generator) < 0.1] = IGNORED
    return prediction, truth


@given(st.integers(0, 1000))
def test_counts_and_scores_are_those_of_scikit_learn(seed):
    prediction, truth = maps(seed)
    counts, judged = confusion(prediction, truth, CLASSES), truth != IGNORED
    ours, theirs = prediction[judged].numpy(), truth[judged].numpy()
    assert np.array_equal(counts.sum(0), confusion_matrix(theirs, ours, labels=range(CLASSES)))
    assert mean_iou(counts) == pytest.approx(jaccard_score(theirs, ours, average="macro"))
    assert pixel_accuracy(counts) == pytest.approx((ours == theirs).mean())


def test_the_mean_iou_of_an_image_is_that_of_torchmetrics():
    prediction, truth = maps(1)
    truth = torch.where(truth == IGNORED, 0, truth)
    theirs = reference_mean_iou(prediction, truth, num_classes=CLASSES, input_format="index")
    for image, expected in zip(confusion(prediction, truth, CLASSES), theirs, strict=True):
        assert mean_iou(image[None]) == pytest.approx(float(expected), rel=1e-5)


def test_a_class_that_does_not_occur_is_no_failure():
    prediction = truth = torch.zeros(1, 4, 4, dtype=torch.long)
    found = class_iou(confusion(prediction, truth, 3).sum(0))
    assert found[0] == 1
    assert found[1:].isnan().all()
    assert mean_iou(confusion(prediction, truth, 3)) == 1


def opencv_boundary(mask, width):
    """As the authors of boundary IoU have it: erosion by a 3 x 3 square, over and over, with nothing around."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return mask & (cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1] == 0)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_boundaries_and_their_iou_are_those_of_opencv(width):
    prediction, truth = maps(3, height=24, width=30)
    for index in range(CLASSES):
        ours = boundary(truth == index, width).numpy()
        theirs = [opencv_boundary((image == index).numpy(), width) for image in truth]
        assert np.array_equal(ours, theirs)
    share = width / float(np.hypot(24, 30))
    together, either = boundary_counts(prediction, truth, CLASSES, share=share)
    judged = torch.where(truth == IGNORED, IGNORED, prediction)
    for image in range(len(truth)):
        for index in range(CLASSES):
            pair = [opencv_boundary((labels[image] == index).numpy(), width) for labels in (judged, truth)]
            assert together[image, index] == (pair[0] & pair[1]).sum()
            assert either[image, index] == (pair[0] | pair[1]).sum()


def test_the_difference_of_one_network_to_itself_is_nothing_and_to_a_worse_one_is_told():
    prediction, truth = maps(4, count=40)
    good, bad = confusion(prediction, truth, CLASSES), confusion(torch.zeros_like(prediction), truth, CLASSES)
    assert mean_iou_difference(good, good) == (0, 0, 0)
    found = mean_iou_difference(good, bad)
    assert found.mean == pytest.approx(mean_iou(good) - mean_iou(bad))
    assert 0 < found.low < found.mean < found.high


def test_the_interval_is_that_of_drawing_the_images_by_hand():
    prediction, truth = maps(5, count=12)
    good, bad = confusion(prediction, truth, CLASSES), confusion(prediction.roll(1, 2), truth, CLASSES)
    draws = np.random.default_rng(1).integers(12, size=(2000, 12))
    by_hand = [mean_iou(good[draw]) - mean_iou(bad[draw]) for draw in draws]
    found = mean_iou_difference(good, bad)
    assert [found.low, found.high] == pytest.approx(np.quantile(by_hand, [0.025, 0.975]), abs=0.01)


def test_bad_maps_are_refused():
    prediction, truth = maps(6)
    with pytest.raises(ArgumentError, match="enlarge the logits"):
        confusion(prediction[:, :5], truth, CLASSES)
    with pytest.raises(ArgumentError, match="below 2"):
        boundary_counts(prediction, truth, 2)
    counts = confusion(prediction, truth, CLASSES)
    with pytest.raises(ArgumentError, match="other truths"):
        mean_iou_difference(counts, confusion(prediction, truth.roll(1, 0), CLASSES))
