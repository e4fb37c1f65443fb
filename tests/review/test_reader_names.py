"""Who is the same reader, whatever she types."""

import pytest

from napari_covseg.review.reader_names import same_reader


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Anna", "anna ", True),
        ("Dr  Anna\tB", "dr anna b", True),
        ("Zo\u00eb", "zoe\u0308", True),
        ("Wei\u00df", "WEISS", True),
        ("Anna", "Anne", False),
        ("Anna B", "AnnaB", False),
        ("Zo\u00eb", "Zoe", False),
        ("", "", False),
        (" ", "", False),
    ],
)
def test_case_and_white_space_tell_nobody_apart(one, other, same):
    assert same_reader(one, other) is same_reader(other, one) is same
