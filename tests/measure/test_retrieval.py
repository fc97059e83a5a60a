"""Average precision and CMC agree with scikit-learn and with a sorting loop; junk and ties follow the stated rules."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from noisewise.errors import ArgumentError
from noisewise.measure.retrieval import (
    Labels,
    Retrieval,
    average_precision,
    cmc,
    cosine_distances,
    match_ranks,
    mean_average_precision,
    rank_matches,
)

RANKS = (1, 2, 5)


@dataclasses.dataclass
class Case:
    distances: np.ndarray
    query: Labels
    gallery: Labels
    same_camera_is_junk: bool

    def retrieval(self) -> Retrieval:
        return rank_matches(self.distances, self.query, self.gallery, same_camera_is_junk=self.same_camera_is_junk)

    def valid(self, q: int, g: int) -> bool:
        same = self.query.identities[q] == self.gallery.identities[g]
        return not (self.same_camera_is_junk and same and self.query.cameras[q] == self.gallery.cameras[g])


@st.composite
def cases(draw, ties: bool) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries, images = draw(st.integers(1, 6)), draw(st.integers(1, 25))
    distances = rng.permuted(np.tile(np.arange(images) / images, (queries, 1)), axis=1)
    if ties:
        distances = np.floor(4 * distances)
    people, cameras = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    labels = [Labels(rng.integers(0, people, n), rng.integers(0, cameras, n)) for n in (queries, images)]
    return Case(distances, labels[0], labels[1], draw(st.booleans()))


def brute_force(case: Case) -> list[tuple[int, float, list[bool]]]:
    """Position, average precision and hits at RANKS of every query that has a match, by sorting and counting."""
    results = []
    for q, row in enumerate(case.distances):
        images = [
            (row[g], case.query.identities[q] == case.gallery.identities[g])
            for g in range(len(row))
            if case.valid(q, g)
        ]
        images.sort()  # at one distance False comes before True
        right = [matches for _, matches in images]
        precisions = [sum(right[: i + 1]) / (i + 1) for i, matches in enumerate(right) if matches]
        if precisions:
            results.append((q, sum(precisions) / len(precisions), [any(right[:k]) for k in RANKS]))
    return results


@given(cases(ties=False))
def test_average_precision_is_that_of_scikit_learn(case):
    retrieval = case.retrieval()
    for q, value in zip(retrieval.queries, retrieval.average_precisions, strict=True):
        kept = [g for g in range(case.distances.shape[1]) if case.valid(q, g)]
        truth = case.gallery.identities[kept] == case.query.identities[q]
        assert value == pytest.approx(average_precision_score(truth, -case.distances[q, kept]))


@given(st.booleans().flatmap(lambda ties: cases(ties=ties)))
def test_all_figures_are_those_of_a_sorting_loop(case):
    retrieval, expected = case.retrieval(), brute_force(case)
    assert retrieval.queries.tolist() == [q for q, _, _ in expected]
    assert retrieval.left_out == len(case.distances) - len(expected)
    if not expected:
        return
    np.testing.assert_allclose(retrieval.average_precisions, [precision for _, precision, _ in expected])
    np.testing.assert_array_equal([retrieval.hits(k) for k in RANKS], np.transpose([hits for _, _, hits in expected]))
    assert mean_average_precision(retrieval) == pytest.approx(np.mean([precision for _, precision, _ in expected]))
    assert cmc(retrieval, RANKS) == pytest.approx(np.mean([hits for _, _, hits in expected], axis=0))


@given(cases(ties=True), st.randoms(use_true_random=False))
def test_the_order_of_the_gallery_changes_nothing(case, random):
    order = random.sample(range(case.distances.shape[1]), case.distances.shape[1])
    shuffled = dataclasses.replace(
        case, distances=case.distances[:, order], gallery=Labels(*(labels[order] for labels in case.gallery))
    )
    for ranks, others in zip(case.retrieval().ranks, shuffled.retrieval().ranks, strict=True):
        np.testing.assert_array_equal(ranks, others)


@given(cases(ties=True))
def test_leaving_one_out_is_deleting_the_query_from_its_gallery(case):
    number = min(case.distances.shape)
    distances, labels = case.distances[:number, :number], Labels(*(part[:number] for part in case.gallery))
    found = rank_matches(distances, labels, labels, same_camera_is_junk=case.same_camera_is_junk, leave_one_out=True)
    by_hand = []
    for q in range(number):
        query, others = (Labels(*(part[keep] for part in labels)) for keep in ([q], np.arange(number) != q))
        row = np.delete(distances[q], q)[None]
        by_hand += rank_matches(row, query, others, same_camera_is_junk=case.same_camera_is_junk).ranks
    assert [ranks.tolist() for ranks in found.ranks] == [ranks.tolist() for ranks in by_hand]


def test_ranks_by_hand():
    distances = np.array([0.3, 0.1, 0.2, 0.1, 0.9])
    ranks = match_ranks(distances, np.array([True, True, False, False, True]))
    assert ranks.tolist() == [2, 4, 5]  # the tie at 0.1 counts against the query
    assert average_precision(ranks) == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3)


def test_one_point_for_all_images_puts_the_matches_last():
    labels = Labels(np.repeat(np.arange(5), 4), np.zeros(20, int))
    found = rank_matches(np.zeros((20, 20)), labels, labels, same_camera_is_junk=False, leave_one_out=True)
    assert all(ranks.tolist() == [17, 18, 19] for ranks in found.ranks)


def test_random_distances_are_at_chance():
    queries, images, matches = 2000, 40, 8
    rows = np.random.default_rng(0).random((queries, images))
    gallery = Labels(np.repeat([1, 2], [matches, images - matches]), np.zeros(images, int))
    found = rank_matches(rows, Labels(np.ones(queries, int), np.ones(queries, int)), gallery)
    harmonic = np.sum(1 / np.arange(1, images + 1))
    precision = ((matches - 1) / (images - 1) * (images - harmonic) + harmonic) / images  # mean over all orders
    assert mean_average_precision(found) == pytest.approx(precision, abs=0.01)  # four standard errors
    misses = [math.comb(images - matches, k) / math.comb(images, k) for k in RANKS]
    assert cmc(found, RANKS) == pytest.approx(1 - np.array(misses), abs=0.04)


def test_rows_may_come_one_by_one_and_labels_may_be_names():
    people, cameras = np.array(["ann", "bob", "ann"]), np.array(["left", "left", "right"])
    query = Labels(np.array(["ann", "eve"]), np.array(["left", "left"]))
    rows = iter(np.array([[0.0, 0.1, 0.2], [0.0, 0.1, 0.2]]))
    found = rank_matches(rows, query, Labels(people, cameras))
    assert (found.queries.tolist(), found.left_out) == ([0], 1)
    assert found.ranks[0].tolist() == [2]


def test_cosine_distances_are_those_of_scipy():
    features = torch.nn.functional.normalize(torch.randn(700, 8, generator=torch.Generator().manual_seed(0)))
    rows = np.stack(list(cosine_distances(features, features[:40])))
    np.testing.assert_allclose(rows, cdist(features, features[:40], "cosine"), atol=1e-6)


def test_without_any_match_there_is_no_figure():
    one, two = Labels(np.array([1]), np.array([1])), Labels(np.array([2]), np.array([1]))
    found = rank_matches(np.zeros((1, 1)), one, two)
    for figure in (mean_average_precision, cmc):
        with pytest.raises(ArgumentError, match="none of the 1 queries"):
            figure(found)


@pytest.mark.parametrize("row", [[0.1, np.nan], [np.inf, 0.2], [0.1, 0.2, 0.3]])
def test_rows_that_are_no_distances_are_refused(row):
    labels = Labels(np.array([1, 1]), np.array([1, 2]))
    with pytest.raises(ArgumentError, match="expected"):
        rank_matches(np.array([row, row]), labels, labels)


@pytest.mark.parametrize("rows", [1, 3])
def test_as_many_rows_as_queries(rows):
    labels = Labels(np.array([1, 1]), np.array([1, 2]))
    with pytest.raises(ValueError, match="argument"):
        rank_matches(np.zeros((rows, 2)), labels, labels)
