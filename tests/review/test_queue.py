"""The first queue: uncertain slices, spread over the scan."""

import numpy as np
import pytest

from napari_covseg.review.queue import first_queue, slice_uncertainty


def test_a_sure_slice_is_less_uncertain_than_a_doubtful_one():
    sure = np.stack([np.full((4, 4), 0.99), np.full((4, 4), 0.01)])
    doubtful = np.stack([np.full((4, 4), 0.6), np.full((4, 4), 0.4)])
    assert slice_uncertainty(sure) == pytest.approx(16 * 0.01)
    assert slice_uncertainty(doubtful) == pytest.approx(16 * 0.4)


def test_independent_classes_are_doubted_each_by_itself():
    yes_or_no = np.array([[[0.9, 0.5]], [[0.2, 0.0]]])
    assert slice_uncertainty(yes_or_no, independent=True) == pytest.approx(0.1 + 0.5 + 0.2)
    assert slice_uncertainty(yes_or_no[:1]) == pytest.approx(0.1 + 0.5)


def test_the_most_uncertain_comes_first_and_its_neighbours_not_next():
    uncertainty = np.exp(-(((np.arange(40) - 20) / 4.0) ** 2)) + 0.2
    queue = first_queue(uncertainty, 5.0, 4)
    assert queue[0] == 20
    assert min(abs(a - b) for i, a in enumerate(queue) for b in queue[:i]) >= 4


def test_of_two_equally_far_the_less_sure_one_is_chosen():
    uncertainty = np.ones(41)
    uncertainty[[20, 35]] = 5.0, 2.0
    assert first_queue(uncertainty, 5.0, 2) == (20, 35)


def test_what_was_seen_is_not_proposed_and_pushes_away():
    uncertainty = np.ones(20)
    uncertainty[10] = 1.5
    queue = first_queue(uncertainty, 5.0, 3, seen=(10,))
    assert 10 not in queue
    assert all(abs(index - 10) >= 3 for index in queue)


@pytest.mark.parametrize("count", [1, 5, 7, 50])
def test_no_slice_comes_twice_and_no_more_than_there_are(count):
    queue = first_queue(np.arange(7.0), 1.0, count, seen=(3,))
    assert len(queue) == len(set(queue)) == min(count, 6)
    assert 3 not in queue


def test_where_nothing_is_uncertain_it_spreads():
    queue = first_queue(np.zeros(30), 2.0, 3)
    assert min(abs(a - b) for i, a in enumerate(queue) for b in queue[:i]) >= 8


def test_what_nobody_asked_about_counts_as_the_least_uncertain():
    uncertainty = np.array([np.nan, np.nan, 3.0, 1.0, 2.0])
    assert first_queue(uncertainty, 100.0, 1) == (2,)


def test_a_network_may_be_sure_and_wrong():
    """A slice far from all others is looked at before a third one in the doubtful part."""
    uncertainty = np.zeros(60)
    uncertainty[:12] = 1.0
    assert max(first_queue(uncertainty, 5.0, 4)) > 30


def test_a_spacing_that_is_none_is_refused():
    with pytest.raises(ValueError, match="positive"):
        first_queue([1.0], 0.0, 1)
    with pytest.raises(ValueError, match="C, H, W"):
        slice_uncertainty(np.zeros((4, 4)))
