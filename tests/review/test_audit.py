"""The chain of rows: what is sealed, what breaks it, and which gaps are known."""

import pytest

from napari_covseg.review import audit
from napari_covseg.review.words import ranges_in_words


def chain(count):
    rows = []
    for seq in range(1, count + 1):
        previous = rows[-1].hash if rows else audit.GENESIS
        rows.append(audit.written(seq, previous, "Dr A", "mark", {"slice": seq}, None))
    return rows


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 9},
        {"time_utc": "2020-01-01T00:00:00+00:00"},
        {"reader": "Dr B"},
        {"kind": "unmark"},
        {"detail": "{}"},
        {"payload_sha256": bytes(32)},
        {"previous": bytes(31) + b"\1"},
        {"hash": bytes(32)},
        {"payload": b"other voxels"},
    ],
)
def test_a_seal_covers_every_column(change):
    (row,) = chain(1)
    assert row.is_whole
    assert not row._replace(**change).is_whole


def test_a_seal_tells_where_one_column_ends_and_the_next_begins():
    (row,) = chain(1)
    moved = row._replace(reader=row.reader + row.kind[:1], kind=row.kind[1:])
    assert moved.seal() != row.seal()


def test_a_payload_may_be_let_go_of_but_not_exchanged():
    row = audit.written(1, audit.GENESIS, "Dr A", "correction", {}, b"voxels")
    assert row._replace(payload=None).is_whole
    assert not row._replace(payload=None).has_its_payload
    assert not row._replace(payload=b"others").is_whole


def test_a_missing_row_breaks_the_chain_unless_a_recovery_told_of_it():
    rows = chain(5)
    assert audit.is_chained(rows, ())
    holed = [*rows[:1], *rows[3:]]
    assert not audit.is_chained(holed, ())
    assert audit.is_chained(holed, ((2, 3),))
    assert not audit.is_chained(holed, ((2, 2),))


def test_gaps_are_told_in_ranges_without_those_that_are_known():
    assert audit.missing([1, 2, 3], 3) == ()
    assert audit.missing([1, 4, 5], 7) == ((2, 3), (6, 7))
    assert audit.missing([1, 4, 5], 7, known=((2, 3),)) == ((6, 7),)
    assert ranges_in_words(((2, 3), (6, 6))) == "2–3, 6"
