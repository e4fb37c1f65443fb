from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_covseg.review import ReviewSession, changes, difference, history, keeping, last_run, proposed
from napari_covseg.review.correction import Correction

SHAPE = (4, 5, 6)


def corrected(labels: np.ndarray, box: tuple[slice, ...], value: int, tool: str) -> Correction | None:
    after = labels.copy()
    after[box] = value
    return difference(labels, after, tool, tool)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)), max_size=12))
def test_every_slice_is_as_it_was_when_a_network_last_wrote_on_it(steps: list[tuple[bool, int, int, int]]) -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    expected, wrote, made = labels.copy(), False, []
    for by_network, index, row, value in steps:
        box = (slice(index, index + 1), slice(row), slice(None)) if by_network else (slice(None), slice(row, 5), 2)
        correction = corrected(labels, box, value, "network" if by_network else "brush")
        if correction is None:
            continue
        correction.applied_to(labels)
        made.append(correction)
        if by_network:
            expected[index], wrote = labels[index], True
    found = proposed(labels, reversed(made))
    assert (found is not None) == wrote
    if found is not None:
        assert np.array_equal(found, expected)


def test_the_label_map_itself_is_not_touched() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    first = corrected(labels, (slice(0, 2),), 1, "network")
    first.applied_to(labels)
    second = corrected(labels, (slice(1, 2),), 2, "brush")
    second.applied_to(labels)
    before = labels.copy()
    assert (proposed(labels, [second, first])[:2] == 1).all()
    assert np.array_equal(labels, before)


def test_what_was_added_taken_away_and_called_something_else_is_told_apart() -> None:
    old = np.array([[[0, 1, 1, 2, 0]]], dtype=np.uint8)
    new = np.array([[[3, 1, 0, 1, 0]]], dtype=np.uint8)
    assert changes(old, new).tolist() == [[[1, 0, 2, 3, 0]]]


def test_slices_that_a_run_left_out_are_not_its_proposal() -> None:
    labels, made = np.zeros(SHAPE, dtype=np.uint8), []
    for box, value, tool in (
        ((slice(0, 4),), 1, "network"),
        ((slice(1, 2), 0), 2, "brush"),
        (([0, 3],), 3, "network"),
    ):
        correction = corrected(labels, box, value, tool)
        assert correction is not None
        correction.applied_to(labels)
        made.append(correction)
    found = proposed(labels, reversed(made))
    assert found is not None
    assert (found[1] == 1).all()
    assert (found[[0, 3]] == 3).all()


def test_what_the_last_run_changed_is_told_without_what_came_before_and_after() -> None:
    labels, made, stages = np.zeros(SHAPE, dtype=np.uint8), [], []
    for box, value, tool in (
        ((slice(0, 4),), 1, "network"),
        ((slice(1, 2), 0), 2, "brush"),
        (([0, 3],), 3, "network"),
        ((slice(0, 1), 2), 0, "brush"),
    ):
        stages.append(labels.copy())
        correction = corrected(labels, box, value, tool)
        assert correction is not None
        correction.applied_to(labels)
        made.append(correction)
    now = labels.copy()
    run = last_run(labels, reversed(made))
    assert run is not None
    assert np.array_equal(run[0], stages[2])
    assert np.array_equal(run[1], stages[3])
    assert run[2] == "network"
    assert np.array_equal(labels, now)
    assert last_run(stages[1], made[:1]) is None  # it found an empty map
    assert last_run(stages[2], made[1:2]) is None  # no network ran


def test_the_slices_of_one_run_are_taken_back_together() -> None:
    labels, made = np.full(SHAPE, 2, dtype=np.uint8), []
    before = labels.copy()
    for index in range(3):
        after = labels[index : index + 1] * 0 + 1
        correction = difference(labels[index : index + 1], after, "network", "one", group="run", first_slice=index)
        assert correction is not None
        correction.applied_to(labels)
        made.append(correction)
    run = last_run(labels, reversed(made))
    assert run is not None
    assert np.array_equal(run[0], before)
    assert np.array_equal(run[1], labels)


@pytest.fixture
def compacts_soon(monkeypatch):
    monkeypatch.setattr(keeping, "SNAPSHOT_AT_LAST_AFTER", 10)
    monkeypatch.setattr(history, "UNDO_STEPS", 5)


def opened_again(session):
    session.close()
    return ReviewSession.resume(session.folder, "Dr A")


def test_the_proposal_is_known_longer_than_it_can_be_undone(session, paint, compacts_soon):
    drawn = np.zeros((8, 6), dtype=np.uint8)
    drawn[1:6, 0:3] = 3
    paint(session, 2, value=1, column=1)
    session.propose(2, drawn, "network", "first")
    paint(session, 8, value=2)
    for index in (2, 5):
        session.propose(index, drawn[:, ::-1], "network", "second")
    expected = np.zeros_like(session.labels.values)
    expected[[2, 5]] = drawn[:, ::-1]
    for number in range(60):
        paint(session, number % 10, value=1 + number % 3, column=number % 5)
        assert np.array_equal(session.proposal, expected), number
    assert proposed(session.labels.values, session.corrections) is None
    again = opened_again(session)
    assert np.array_equal(again.proposal, expected)
    while again.undo():
        pass
    assert np.array_equal(again.proposal, expected)
    again.propose(7, drawn, "network", "third")
    expected[7] = drawn
    assert np.array_equal(again.proposal, expected)
    again.undo()
    expected[7] = 0
    assert np.array_equal(again.proposal, expected)
    again.close()


def test_where_no_network_drew_there_is_no_proposal_however_long_the_review(session, paint, compacts_soon):
    for number in range(40):
        paint(session, number % 10, value=1 + number % 3, column=number % 5)
    assert (session.proposal, session.was_proposed) == (None, False)


def test_a_proposal_that_an_earlier_version_did_not_keep_is_not_called_none(session, paint, compacts_soon):
    session.propose(2, np.ones((8, 6), dtype=np.uint8), "network", "first")
    for number in range(40):
        paint(session, 3 + number % 7, value=1 + number % 3, column=number % 5)
    session._standing.drawn.clear()
    again = opened_again(session)
    assert (again.proposal, again.was_proposed) == (None, True)
    again.close()
