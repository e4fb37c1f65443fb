from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_covseg.review import changes, difference, proposed
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
