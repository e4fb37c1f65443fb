"""Slices by their numbers, from 1 at the apex."""

import pytest

from napari_covseg.review.words import slice_numbers, slices_named


@pytest.mark.parametrize(
    ("indices", "said", "named"),
    [
        ((), "", "slices "),
        ((11,), "12", "slice 12"),
        ((11, 39, 40, 41), "12, 40–42", "slices 12, 40–42"),
        (range(2), "1–2", "slices 1–2"),
    ],
)
def test_slices_are_counted_from_one_and_runs_drawn_together(indices, said, named):
    assert (slice_numbers(indices), slices_named(indices)) == (said, named)
