"""The audit flags what mixes samples, whatever it is, and lets ordinary networks pass."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.data import TensorDataset

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.noise import CircularShift, Grouped, OptimalQ
from noisewise.studies import audit, chance_purity, label_purity, swap_batch_mates
from noisewise.surgery import inject

CLASSES = 4


def blobs(count=120):
    """Points around the corners of a simplex, sorted by class, as image-like vectors."""
    generator = make_generator(0)
    labels = torch.arange(CLASSES).repeat_interleave(count // CLASSES)
    points = 1.5 * nn.functional.one_hot(labels).float() + torch.randn(count, CLASSES, generator=generator)
    return TensorDataset(points, labels)


def mixing(noise):
    return lambda x: noise(x, generator=make_generator(0))


def train_mode_batchnorm():
    return nn.BatchNorm1d(CLASSES).train()


class OnlyImages(torch.utils.data.Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


MIXING = {
    "optimal Q": mixing(OptimalQ()),
    "circular shift": mixing(CircularShift(0.3)),
    "weak circular shift": mixing(CircularShift(0.05)),
    "logits normalised over the batch": lambda x: (x - x.mean(0)) / (x.std(0, unbiased=False) + 1e-3),
    "softmax over the batch": lambda x: x.softmax(0),
    "groups of five": mixing(Grouped(OptimalQ(), 5)),
    "neighbour after next": lambda x: x + 0.3 * x.roll(2, dims=0),
}


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_samples_is_flagged(name):
    report = audit(MIXING[name], blobs(), batch_sizes=(10, 60) if name == "groups of five" else (10, 64))
    assert report.order_dependent
    assert report.mates.depends


@pytest.mark.parametrize("offset", [3000, 300_000])
@pytest.mark.parametrize("noise", [OptimalQ(), CircularShift(0.3)])
def test_scores_with_an_offset_in_common_hide_no_mixing_and_raise_no_alarm(noise, offset):
    assert audit(lambda x: mixing(noise)(x) + offset, blobs()).order_dependent
    assert not audit(lambda x: x.softmax(1) + offset, blobs()).order_dependent


def test_what_changes_classes_is_flagged_however_little_it_moves():
    """Between samples two outputs that never win differ by far more than those that do."""

    def predict(x):
        sides = 0.1 * x[:, :1] + 0.02 * len(x)
        return torch.cat([sides, -sides, 30 * x[:, 2:] - 1000], dim=1)

    report = audit(predict, blobs(), batch_sizes=(1, 10), orders=("given",))
    assert report.table[1]["changed"] > 5
    assert report.order_dependent


def test_batchnorm_in_training_mode_is_flagged():
    report = audit(train_mode_batchnorm(), blobs(), batch_sizes=(10, 40))
    assert report.order_dependent
    assert report.mates.depends


def test_what_depends_on_the_batch_size_alone_is_flagged():
    report = audit(lambda x: x * (1 + 0.1 * len(x)), blobs(), batch_sizes=(2, 10), orders=("given",))
    assert report.order_dependent
    assert not report.mates.depends


@pytest.mark.parametrize("predict", [nn.Identity(), nn.BatchNorm1d(CLASSES).eval(), lambda x: x.softmax(1), torch.sign])
def test_what_looks_at_each_sample_alone_passes(predict):
    report = audit(predict, blobs())
    assert not report.order_dependent
    assert report.mates.deterministic
    assert len({run.accuracy for run in report.runs}) == 1


def test_randomness_alone_is_no_dependence_and_is_told():
    generator = make_generator(0)
    report = audit(lambda x: x + torch.randn(x.shape, generator=generator), blobs())
    assert not report.order_dependent
    assert not report.mates.deterministic
    noisy = audit(lambda x: mixing(OptimalQ())(x) + 0.1 * torch.randn(x.shape, generator=generator), blobs())
    assert noisy.order_dependent


def shared(x, generator):
    return x + torch.randn(1, CLASSES, generator=generator)


def of_its_own(x, generator):
    return x + torch.randn(x.shape, generator=generator)


def dropped(x, generator):
    return x * (torch.rand(x.shape, generator=generator) < 0.7)


@pytest.mark.parametrize(
    ("noise", "seed"),
    [(shared, 11), (shared, 165), (of_its_own, 212), (dropped, 357)],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_randomness_that_looks_like_mixing_in_a_few_rounds_is_asked_again(noise, seed):
    generator = make_generator(seed)
    assert not swap_batch_mates(lambda x: noise(x, generator), blobs(), seed=seed).depends


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("mixed", "sigma"), [(OptimalQ(), 0.1), (CircularShift(0.3), 0.3)])
def test_mixing_is_seen_through_randomness(mixed, sigma, seed):
    generator = make_generator(seed)
    predict = lambda x: mixing(mixed)(x) + sigma * torch.randn(x.shape, generator=generator)  # noqa: E731
    assert swap_batch_mates(predict, blobs(), seed=seed).depends


def test_randomness_that_strikes_one_prediction_in_ten_is_no_dependence():
    generator = make_generator(0)
    report = audit(lambda x: x * (1 + (torch.rand(len(x), 1, generator=generator) < 0.1)), blobs())
    assert not report.mates.deterministic
    assert not report.order_dependent


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_pass_and_are_flagged(dtype):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(CLASSES, 64), nn.ReLU(), nn.Linear(64, CLASSES)).to(dtype)
    assert not audit(lambda x: network(x.to(dtype)), blobs()).order_dependent
    assert audit(lambda x: network(mixing(OptimalQ())(x).to(dtype)), blobs()).order_dependent


def test_sorted_batches_flatter_and_shuffled_ones_do_not():
    report = audit(mixing(OptimalQ()), blobs(200), batch_sizes=(10,))
    accuracy = {row["order"]: row["accuracy"] for row in report.table}
    purity = {row["order"]: row["purity"] for row in report.table}
    assert accuracy["class_sorted"] > accuracy["shuffled"] + 20
    assert accuracy["given"] == accuracy["class_sorted"]
    assert purity["class_sorted"] == 100
    assert purity["shuffled"] < 40


def test_a_row_says_what_moved_and_what_changed_its_class():
    double_first = audit(
        lambda x: x * torch.where(torch.arange(len(x)) == 0, 2, 1)[:, None], blobs(), batch_sizes=(1, 10)
    )
    rows = {(row["order"], row["batch_size"]): row for row in double_first.table}
    assert rows["given", 1]["moved"] == 0
    assert rows["given", 10]["moved"] == 90.0
    assert rows["given", 10]["changed"] == 0


def test_works_without_labels():
    images = OnlyImages(blobs().tensors[0])
    report = audit(mixing(OptimalQ()), images, orders=("given", "shuffled"))
    assert report.order_dependent
    assert "accuracy" not in report.table[0]
    with pytest.raises(ArgumentError, match="without labels"):
        report.plot()


def test_missing_labels_are_found_before_anything_is_predicted():
    images = OnlyImages(blobs().tensors[0])
    with pytest.raises(ArgumentError, match="leave 'class_sorted' out"):
        audit(lambda x: pytest.fail("predicted"), images)


def test_progress_counts_every_prediction():
    told = []
    audit(nn.Identity(), blobs(), batch_sizes=(7, 50), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 6 * 120


def test_the_plot_has_a_line_for_each_order(tmp_path):
    report = audit(mixing(OptimalQ()), blobs())
    axes = report.plot()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["given", "shuffled", "class sorted"]
    drawn = [y for line in axes.containers for y in line.lines[0].get_ydata()]
    assert drawn == pytest.approx([row["accuracy"] for row in report.table], abs=0.01)
    axes.figure.savefig(tmp_path / "audit.png")
    assert (tmp_path / "audit.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch_sizes": ()}, "batch sizes of at least 1"),
        ({"batch_sizes": (0,)}, "batch sizes of at least 1"),
        ({"orders": ("sorted",)}, "orders from"),
        ({"orders": ()}, "orders from"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, told):
    with pytest.raises(ArgumentError, match=told):
        audit(nn.Identity(), blobs(), **options)


@pytest.mark.parametrize("predict", [lambda x: x[:-1], lambda x: x[:, 0], lambda x: "many"])
def test_scores_of_another_length_are_refused(predict):
    with pytest.raises(ArgumentError, match=r"a row of scores for each of 1 images.*; return a tensor B x K"):
        audit(predict, blobs())


def test_a_data_set_of_two_samples_is_refused_and_three_are_enough():
    for count in (1, 2):
        few = TensorDataset(torch.zeros(count, 2), torch.zeros(count).long())
        with pytest.raises(ArgumentError, match="at least three"):
            audit(nn.Identity(), few)
        with pytest.raises(ArgumentError, match="at least three"):
            swap_batch_mates(nn.Identity(), few)
    three = TensorDataset(torch.eye(3), torch.arange(3))
    assert audit(mixing(OptimalQ()), three, orders=("given",)).order_dependent
    assert not audit(nn.Identity(), three, orders=("given",)).order_dependent


def test_mixing_is_seen_where_a_batch_holds_all_samples():
    report = audit(mixing(OptimalQ()), blobs(40), batch_sizes=(64,))
    assert report.mates.depends
    assert report.order_dependent


@pytest.mark.parametrize("seed", range(5))
def test_randomness_that_a_batch_shares_is_no_dependence(seed):
    generator = make_generator(seed)
    predict = lambda x: x + torch.randn(1, CLASSES, generator=generator)  # noqa: E731
    assert not swap_batch_mates(predict, blobs(), seed=seed).depends


def test_votes_can_be_audited():
    votes = lambda x: nn.functional.one_hot(x.argmax(1), CLASSES)  # noqa: E731
    assert not audit(votes, blobs()).order_dependent
    assert audit(lambda x: votes(mixing(OptimalQ())(x)), blobs()).order_dependent


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(value):
    with pytest.raises(ArgumentError, match="finite"):
        audit(lambda x: torch.where(x > 2, value, x), blobs())


def relabelled(make):
    points, labels = blobs(20).tensors
    return [(point, make(label)) for point, label in zip(points, labels.tolist(), strict=True)]


@pytest.mark.parametrize("make", [float, str, lambda label: torch.tensor([label, label]), lambda label: [label, 1]])
def test_labels_that_are_no_class_indices_are_refused(make):
    for orders in (("given",), ("class_sorted",)):
        with pytest.raises(ArgumentError, match="one class index for each image"):
            audit(nn.Identity(), relabelled(make), orders=orders)


@pytest.mark.parametrize("make", [lambda label: label, lambda label: torch.tensor([label])])
def test_labels_in_their_usual_forms_are_read_in_any_order(make):
    plain = audit(mixing(OptimalQ()), blobs(20), batch_sizes=(5,))
    dataset = relabelled(make)
    assert audit(mixing(OptimalQ()), dataset, batch_sizes=(5,)).table == plain.table
    alone = audit(mixing(OptimalQ()), dataset, batch_sizes=(5,), orders=("class_sorted",)).table[0]
    assert alone["accuracy"] == plain.table[-1]["accuracy"]


def test_purity_is_the_share_of_equal_pairs():
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    assert chance_purity(labels) == pytest.approx(sum(bool(labels[i] == labels[j]) for i, j in pairs) / len(pairs))
    assert label_purity(labels.split(2)) == pytest.approx(2 / 3)
    assert label_purity(labels.split(4)) == pytest.approx((2 * 2) / (12 + 2))
    assert label_purity([torch.tensor([-1, -1, 10**12])]) == pytest.approx(1 / 3)
    with pytest.raises(ArgumentError, match="batch of at least two"):
        label_purity(labels.split(1))


ORDINARY = [
    "resnet18",
    "resnet26t",
    "resnetv2_50",
    "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
    "convnext_atto",
    "convnextv2_atto",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "efficientnet_b0",
    "regnetx_002",
    "regnety_002",
    "mixer_s32_224",
    "resmlp_12_224",
    "swin_tiny_patch4_window7_224",
    "convit_tiny",
    "pit_ti_224",
    "levit_128s",
    "mobilevit_xxs",
    "edgenext_xx_small",
    "poolformer_s12",
    "ghostnet_050",
    "repvgg_a0",
    "densenet121",
    "tinynet_e",
]
ORDINARY_OF_TORCHVISION = ["resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "mnasnet0_5", "mobilenet_v2"]


def images(count=24, size=64):
    generator = make_generator(0)
    return TensorDataset(torch.rand(count, 3, size, size, generator=generator), torch.arange(count) % CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDINARY + [f"torchvision {name}" for name in ORDINARY_OF_TORCHVISION])
def test_no_false_alarm_on_ordinary_networks(name):
    torch.manual_seed(0)
    kind, _, plain = name.rpartition(" ")
    size = 224 if any(part in name for part in ("224", "levit", "mobilevit", "convit")) else 64
    network = torchvision.models.get_model(plain) if kind else timm.create_model(plain, num_classes=CLASSES)
    report = audit(network.eval(), images(size=size), batch_sizes=(1, 5, 12), orders=("given", "shuffled"))
    assert not report.order_dependent
    assert report.mates.deterministic


@pytest.mark.parametrize("noise", [OptimalQ(), CircularShift(0.3)])
def test_injected_mixing_is_flagged_in_a_network(noise):
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=CLASSES).eval()
    with inject(network, {"last": noise}, when="test", allow_batch_mixing=True):
        assert audit(network, images(), batch_sizes=(4, 12), orders=("given",)).order_dependent
    assert not audit(network, images(), batch_sizes=(4, 12), orders=("given",)).order_dependent
