"""The first queue: uncertain slices, spread over the scan."""

import math

import numpy as np
import pytest

from napari_covseg.review.queue import first_queue, suggestion
from napari_covseg.volume import Geometry


def test_the_most_uncertain_comes_first_and_its_neighbours_not_next():
    uncertainty = np.exp(-(((np.arange(40) - 20) / 4.0) ** 2)) + 0.2
    queue = first_queue(uncertainty, 5.0, 4)
    assert queue[0] == 20
    assert min(abs(a - b) for i, a in enumerate(queue) for b in queue[:i]) >= 2


def test_of_two_equally_far_the_less_sure_one_is_chosen():
    uncertainty = np.ones(41)
    uncertainty[[20, 35]] = 5.0, 3.0
    assert first_queue(uncertainty, 5.0, 2) == (20, 35)


def test_what_was_seen_is_not_proposed_and_pushes_away():
    uncertainty = np.ones(20)
    uncertainty[10] = 1.5
    queue = first_queue(uncertainty, 5.0, 3, seen=(10,))
    assert 10 not in queue
    assert all(abs(index - 10) >= 2 for index in queue)


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


GRID = Geometry((40, 100, 100), np.array([[0, 0, -0.7, 0], [0, -0.7, 0, 0], [-2, 0, 0, 0], [0, 0, 0, 1.0]]))


def test_what_is_suggested_first_is_where_the_network_is_least_sure_and_says_of_how_much():
    unsure = np.full(40, np.nan)
    unsure[5:30] = 10.0
    unsure[17] = 2000.0
    found = suggestion(unsure, GRID, ())
    assert found.index == 17
    assert found.unsure_ml == pytest.approx(2000 * GRID.voxel_ml)
    assert found.away_mm == math.inf


def test_later_suggestions_say_when_they_are_made_for_being_far_away():
    unsure = np.zeros(40)
    unsure[2] = 2000.0
    found = suggestion(unsure, GRID, (2,))
    assert found.index > 20
    assert found.unsure_ml == 0
    assert found.away_mm == pytest.approx((found.index - 2) * 2)


def test_every_slice_is_suggested_once_and_then_none():
    unsure = np.random.default_rng(0).random(40)
    seen: set[int] = set()
    while (found := suggestion(unsure, GRID, seen)) is not None:
        assert found.index not in seen
        seen.add(found.index)
    assert seen == set(range(40))


def test_however_much_it_doubts_one_end_no_half_of_the_scan_is_passed_over():
    uncertainty = np.linspace(1.0, 1.1, 50)
    uncertainty[40:] = 100.0
    queue = first_queue(uncertainty, 5.0, 5)
    assert queue[0] >= 40
    assert 15 < min(queue) < 25


def test_where_more_is_doubted_more_is_looked_at_and_what_is_doubted_everywhere_does_not_count():
    uncertainty = np.full(60, 1000.0)  # low doubts of many voxels, outside the lungs too
    uncertainty[20:40] += 500.0
    queue = first_queue(uncertainty, 8.0, 5)
    assert sum(20 <= index < 40 for index in queue) >= 3
    assert queue == first_queue(uncertainty - 1000.0, 8.0, 5)


def test_slices_that_could_not_judge_each_other_are_proposed_last():
    uncertainty = np.full(40, 10.0)
    uncertainty[18:24] = 500.0
    queue = first_queue(uncertainty, 5.0, 12)
    apart = [min((abs(index - other) * 5.0 for other in queue[:k]), default=np.inf) for k, index in enumerate(queue)]
    assert min(apart[:6]) > 20.0
    assert apart == sorted(apart, key=lambda mm: mm <= 20.0)  # first all that lie further than 2 cm from those before


def test_a_slice_that_is_doubted_more_than_all_others_does_not_bring_its_neighbours():
    uncertainty = np.ones(40)
    uncertainty[20] = 1000.0
    first, second, third = first_queue(uncertainty, 5.0, 3)
    assert first == 20
    assert min(abs(second - 20), abs(third - 20), abs(third - second)) >= 5
    assert min(abs(index - 20) for index in first_queue(uncertainty, 30.0, 3)[1:]) >= 3


def test_one_by_one_it_leads_to_the_part_that_was_not_seen():
    uncertainty = np.linspace(10.0, 1.0, 40)
    seen: list[int] = []
    for _ in range(6):
        seen += first_queue(uncertainty, 5.0, 1, seen)
    assert seen[0] == 0
    assert len({index // 10 for index in seen}) >= 3


def test_where_nothing_tells_slices_apart_the_middle_comes_first():
    assert first_queue(np.full(41, 7.0), 5.0, 1) == (20,)
    assert suggestion(np.full(40, np.nan), GRID, ()).unsure_ml == 0
