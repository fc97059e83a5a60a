"""AP as COCO counts it, against COCO's own code and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.measure.detection import Detected, Truth, average_precision, resampled_precision

pytest.importorskip("faster_coco_eval")
SIZE = (60, 80)


def boxes(count, generator):
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([50.0, 30.0])
    return torch.cat([corner, corner + 8 + 15 * torch.rand(count, 2, generator=generator)], dim=1)


def masks_of(rectangles):
    masks = torch.zeros(len(rectangles), *SIZE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, rectangles.round().long().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    return masks


def polygons_of(rectangles):
    return [[[x, y, z, y, z, w, x, w]] for x, y, z, w in rectangles.round().tolist()]


def scene(seed, spread=2.0):
    """Objects of three classes, and detections of them that are a little off, with one that is none."""
    generator = make_generator(seed)
    real = boxes(4, generator).round()
    labels = torch.randint(1, 4, (4,), generator=generator)
    near = real + spread * torch.randn(4, 4, generator=generator)
    guesses = torch.cat([near, boxes(1, generator)])
    found = Detected(guesses, torch.cat([labels, labels[:1]]), torch.rand(5, generator=generator), masks_of(guesses))
    return found, Truth(SIZE, real, labels, polygons_of(real))


def test_the_truth_itself_has_all_points():
    found, truths = zip(*(scene(seed, spread=0.0) for seed in range(3)), strict=True)
    exact = [Detected(t.boxes, t.labels, torch.ones(len(t.labels)), masks_of(t.boxes)) for t in truths]
    for kind in ("bbox", "segm", "boundary"):
        assert average_precision(exact, truths, kind) == (pytest.approx(100, abs=0.1), pytest.approx(100, abs=0.1))
    assert average_precision(found, truths).ap < 100


def test_boxes_are_counted_as_by_the_code_of_coco_itself():
    from torchmetrics.detection import MeanAveragePrecision

    found, truths = zip(*(scene(seed) for seed in range(8)), strict=True)
    reference = MeanAveragePrecision(backend="pycocotools")
    reference.update(
        [{"boxes": f.boxes, "labels": f.labels, "scores": f.scores} for f in found],
        [{"boxes": t.boxes, "labels": t.labels} for t in truths],
    )
    theirs = reference.compute()
    ours = average_precision(found, truths)
    assert ours.ap == pytest.approx(100 * float(theirs["map"]), abs=0.1)
    assert ours.ap50 == pytest.approx(100 * float(theirs["map_50"]), abs=0.1)


def test_one_object_and_two_guesses_by_hand():
    """The surer guess overlaps by 0.6, which is enough for 0.50, 0.55 and 0.60; the other one hits nothing."""
    truth = Truth(SIZE, torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([1]))
    guesses = Detected(
        torch.tensor([[0.0, 0.0, 10.0, 6.0], [40.0, 40.0, 50.0, 50.0]]), torch.tensor([1, 1]), torch.tensor([0.9, 0.1])
    )
    assert average_precision([guesses], [truth]) == (pytest.approx(30.0), pytest.approx(100.0))


def test_an_object_that_nobody_found_and_a_crowd():
    nothing = Detected(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0))
    truth = scene(0)[1]
    assert average_precision([nothing], [truth]) == (0, 0)
    crowd = truth._replace(crowds=[False, False, False, True])
    assert np.isfinite(average_precision([scene(0)[0]], [crowd]).ap)


def test_what_is_missing_is_told():
    found, truth = scene(0)
    with pytest.raises(ArgumentError, match="got 1 and 2"):
        average_precision([found], [truth, truth])
    with pytest.raises(ArgumentError, match="read COCO's annotations"):
        average_precision([found], [truth._replace(outlines=())], "segm")
    with pytest.raises(ArgumentError, match="a network that draws masks"):
        average_precision([found._replace(masks=None)], [truth], "boundary")


def test_precision_of_drawn_images_is_that_of_the_drawn_set():
    found, truths = zip(*(scene(seed) for seed in range(4)), strict=True)
    scores = resampled_precision(found, truths, resamples=3, seed=5)
    generator = np.random.default_rng(5)
    for score in scores:
        drawn = generator.integers(4, size=4)
        assert score == average_precision([found[i] for i in drawn], [truths[i] for i in drawn]).ap
    assert len(set(scores)) > 1


def test_a_sample_without_objects_is_drawn_again():
    found, truths = zip(*(scene(seed) for seed in range(2)), strict=True)
    empty = Truth(SIZE, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    done = []
    scores = resampled_precision(found, [truths[0], empty], resamples=8, progress=done.append)
    assert np.isfinite(scores).all()
    assert done == list(range(1, 9))
    with pytest.raises(ArgumentError, match="an object in one of them"):
        resampled_precision(found, [empty, empty])
