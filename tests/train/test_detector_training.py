"""Training a detector: jittered squares whose boxes stay on their objects, and resuming bit for bit."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection import FCOS, FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from noisewise._rng import initialised
from noisewise.data.detection import Objects
from noisewise.errors import CheckpointError, DatasetError
from noisewise.models.small import small_detector
from noisewise.train import Schedule
from noisewise.train.detector import JitteredBatches, train_detector

SIDE = 64


def schedule(**changes):
    plan = {"steps": 4, "batch": 2, "patch": SIDE, "learning_rate": 1e-3, "warmup": 1, "decay": 0.5, "ema": 0.5}
    return Schedule(**plan | changes)


def white_rectangles(count=5):
    """Black photographs with one white rectangle each, and its box; the last one shows nothing."""
    photographs = []
    for index in range(count):
        image = torch.zeros(3, 60, 80)
        left, top = 8 + 6 * index, 12 + 4 * index
        image[:, top : top + 20, left : left + 24] = 1
        boxes = torch.tensor([[left, top, left + 24, top + 20]], dtype=torch.float32)
        photographs.append((image, Objects(boxes, torch.tensor([1]))))
    return [*photographs[:-1], (torch.zeros(3, 60, 80), Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)))]


def batches(seed=3, **changes):
    return JitteredBatches(white_rectangles(), schedule(**changes), (0.8, 1.6), seed)


def detector():
    return initialised(lambda: small_detector(side=SIDE), 0)


def sampling_detector():
    """That learns from proposals and anchors which it draws at random."""
    options = {"min_size": SIDE, "max_size": SIDE, "box_roi_pool": MultiScaleRoIAlign(["0", "1"], 7, 2)}
    few = {"rpn_batch_size_per_image": 8, "box_batch_size_per_image": 8}
    anchors = AnchorGenerator(((8,), (16,), (32,), (64,)), ((1.0,),) * 4)
    return initialised(
        lambda: FasterRCNN(small_detector(side=SIDE).backbone, 2, rpn_anchor_generator=anchors, **options, **few), 0
    )


def train(data, checkpoint, build=detector, **options):
    return train_detector(build(), data, checkpoint, weight_decay=0.05, save_every=1, **options)


def test_boxes_stay_on_their_objects():
    seen = 0
    for step in range(30):
        batch = batches(batch=3, steps=30)[step]
        assert batch.images.shape == (3, 3, SIDE, SIDE)
        for image, target in zip(batch.images, batch.targets(), strict=True):
            bright = image[0] > 0.5
            for left, top, right, bottom in target["boxes"].round().long().tolist():
                inside = torch.zeros_like(bright)
                inside[top:bottom, left:right] = True
                assert (bright == inside).float().mean() > 0.95
                seen += 1
    assert seen > 40


def test_a_batch_is_a_pure_function_of_seed_and_step():
    torch.manual_seed(1)
    first, state = batches()[2], torch.get_rng_state()
    torch.manual_seed(2)
    second = batches()[2]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not torch.equal(first.images, batches(seed=4)[2].images)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_every_epoch_passes_over_all_photographs():
    data = batches(batch=1)
    shown = [len(data[step].labels) for step in range(5)]
    assert shown.count(0) >= 1
    assert sum(shown) <= 4


@pytest.mark.parametrize("build", [detector, sampling_detector])
def test_a_killed_run_ends_where_an_unbroken_one_does(tmp_path, build):
    unbroken = train(batches(), tmp_path / "one", build)

    def interrupt(done, loss):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(batches(), tmp_path / "two", build, progress=interrupt)
    resumed = train(batches(), tmp_path / "two", build)
    states = unbroken.state_dict(), resumed.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    with pytest.raises(CheckpointError, match="belongs to a run with another"):
        train(batches(seed=9), tmp_path / "two", build)


def test_too_few_photographs_are_told():
    with pytest.raises(DatasetError, match="at least one batch of 9"):
        batches(batch=9)


def test_the_small_detector_has_one_anchor_at_every_stride():
    network = detector().eval()
    assert isinstance(network, FCOS)
    assert isinstance(network.anchor_generator, AnchorGenerator)
    maps = network.backbone(torch.rand(1, 3, SIDE, SIDE))
    assert [one.shape[-1] for one in maps.values()] == [SIDE // stride for stride in (8, 16, 32, 64)]
    assert [size for (size,) in network.anchor_generator.sizes] == [8, 16, 32, 64]
    (found,) = network([torch.rand(3, 100, 140)])
    assert set(found) == {"boxes", "labels", "scores"}


@pytest.mark.slow
def test_it_learns_to_find_rectangles(tmp_path):
    trained = train_detector(detector(), batches(steps=150, batch=4, warmup=10), tmp_path / "run", weight_decay=0.05)
    image, objects = white_rectangles()[0]
    (found,) = trained([image])
    first = found["boxes"][found["scores"].argmax()]
    overlap = torch.cat(
        [torch.maximum(first[:2], objects.boxes[0, :2]), torch.minimum(first[2:], objects.boxes[0, 2:])]
    )
    assert (overlap[2:] - overlap[:2]).clamp(min=0).prod() > 0.5 * 20 * 24
