"""Top-k against torchmetrics and the definition; the corruption error against figures worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_accuracy

from noisewise.errors import ArgumentError
from noisewise.measure.classification import mean_corruption_error, top_k_correct


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_its_mean_is_the_accuracy_of_torchmetrics(k):
    generator = torch.Generator().manual_seed(k)
    logits, labels = torch.randn(400, 9, generator=generator), torch.randint(9, (400,), generator=generator)
    expected = multiclass_accuracy(logits, labels, num_classes=9, average="micro", top_k=k)
    assert top_k_correct(logits, labels, k).double().mean() == pytest.approx(expected.item())


scores = st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=1, max_size=6)


@given(scores, st.integers(1, 5), st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
def test_equal_scores_rank_by_index_whatever_the_precision(rows, k, dtype):
    for label in range(4):
        found = top_k_correct(torch.tensor(rows, dtype=dtype), torch.full((len(rows),), label), k)
        ranked = [sorted(range(4), key=lambda index: (-row[index], index)) for row in rows]
        assert found.tolist() == [label in order[:k] for order in ranked]


def test_every_sample_is_right_from_as_many_guesses_as_classes():
    logits = torch.tensor([[3.0, -torch.inf, 1.0]]).repeat(3, 1)
    assert top_k_correct(logits, torch.arange(3), k=2).tolist() == [True, False, True]
    assert top_k_correct(logits, torch.arange(3), k=5).all()


@pytest.mark.parametrize(
    ("logits", "labels", "k", "message"),
    [
        (torch.zeros(2, 3, 1), torch.zeros(2, dtype=torch.long), 1, r"B x K.*\(2, 3, 1\)"),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.long), 1, "one-hot"),
        (torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), 0, "k of at least 1"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), 1, r"\[0, 3\), got 3"),
        (torch.zeros(2, 3), torch.tensor([-1, 0]), 1, r"\[0, 3\), got -1"),
        (torch.tensor([[0.0, torch.nan]]), torch.tensor([1]), 1, "NaN"),
    ],
)
def test_what_cannot_be_ranked_is_refused(logits, labels, k, message):
    with pytest.raises(ArgumentError, match=message):
        top_k_correct(logits, labels, k)


def test_the_corruption_error_is_a_mean_of_ratios_of_sums():
    errors = {"gaussian": [10.0, 20.0, 30.0], "jpeg": [5.0, 15.0]}
    reference = {"jpeg": [20.0, 20.0], "gaussian": [20.0, 40.0, 20.0]}
    assert mean_corruption_error(errors, reference) == pytest.approx(100 * (60 / 80 + 20 / 40) / 2)  # 62.5
    assert mean_corruption_error(reference, reference) == pytest.approx(100)


def test_the_unit_of_the_errors_does_not_matter():
    errors, reference = {"a": [10.0, 40.0]}, {"a": [30.0, 60.0]}
    shares = [{name: [e / 100 for e in of] for name, of in table.items()} for table in (errors, reference)]
    assert mean_corruption_error(*shares) == pytest.approx(mean_corruption_error(errors, reference))


@pytest.mark.parametrize(
    ("errors", "reference", "message"),
    [
        ({}, {}, "same corruptions"),
        ({"a": [1.0]}, {"b": [1.0]}, "same corruptions"),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, r"\{'a': 1\} and \{'a': 2\}"),
        ({"a": [1.0]}, {"a": [0.0]}, "errors under 'a'"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(errors, reference, message):
    with pytest.raises(ArgumentError, match=message):
        mean_corruption_error(errors, reference)
