"""The log can be read: who, when, what, where and by which network; and what was changed in it is said."""

import csv

import pytest

from napari_covseg.export.tables import write_log
from napari_covseg.jobs import drain
from napari_covseg.review import ReviewSession
from napari_covseg.review.log_lines import EMPTY, log_in, shown
from napari_covseg.volume import Provenance


@pytest.fixture
def read_over(session, paint):
    """A network, a stroke, undo and redo, a mark taken and given again, a signature and a second version."""
    drawn = session.labels.values[2].copy()
    drawn[1:5, 1:5] = 1
    origin = Provenance(source="network", network="masc_net", checkpoint="own-1", checkpoint_sha256="ab" * 32)
    session.propose(2, drawn, "MASC-Net", "run-1", origin)
    paint(session, 3)
    session.undo()
    session.redo()
    session.mark_reviewed(3)
    session.unmark(3)
    session.mark_reviewed(3)
    session.sign()
    session.reopen("a vessel")
    return session


def test_every_row_is_told_while_the_window_has_the_session_open(read_over, folder):
    log = drain(log_in(folder))
    assert [(line.number, line.what) for line in log.lines] == list(
        enumerate(
            (
                "MASC-Net",
                "Brush on slice 4",
                "Undone: brush on slice 4",
                "Brought back: brush on slice 4",
                "Marked reviewed",
                "Mark taken back",
                "Marked reviewed",
                "Signed, version 1",
                "Opened again, version 2: a vessel",
            ),
            start=1,
        )
    )
    assert [line.slices for line in log.lines] == [(2,), *[(3,)] * 7, ()]
    assert [line.voxels for line in log.lines] == [16, 4, 4, 4, *[None] * 5]
    assert {line.reader for line in log.lines} == {"Dr A"}
    first = log.lines[0]
    assert (first.network, first.checkpoint, first.checkpoint_sha256) == ("masc_net", "own-1", "ab" * 32)
    assert [line.sealed_with for line in log.lines] == [event.hash.hex() for event in read_over.trail]
    assert (log.doubts, log.scan, log.reader) == ((), "case_ct", "Dr A")
    assert log.verdict.startswith("All 9 entries of this log are as they were written")
    assert shown(first)[2:] == ("MASC-Net", "3", "16", "own-1")


def test_a_session_without_changes_says_so(session, folder):
    assert drain(log_in(folder)).verdict == EMPTY


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE event SET reader = 'Dr B' WHERE seq = 5", "was changed"),
        ("DELETE FROM event WHERE seq = 5", "is missing|lost"),
    ],
)
def test_a_row_that_was_changed_or_removed_shows_now_and_after_it_was_put_together(
    read_over, folder, change, said, tamper
):
    read_over.close()
    tamper(folder, change)
    log = drain(log_in(folder))
    assert log.doubts
    assert 5 not in {line.number for line in log.lines}
    ReviewSession.resume(folder, "Dr A").close()
    later = drain(log_in(folder))
    assert later.doubts
    assert later.lines[-1].what.startswith("Put together again after damage")


def test_voxels_that_were_lost_once_are_not_forgotten(session, paint, folder, left_by_a_crash, tamper):
    for index in range(4):
        paint(session, index)
    crashed = left_by_a_crash(session)
    tamper(crashed, "UPDATE event SET payload = NULL WHERE seq = 2")
    for _ in range(2):
        ReviewSession.resume(crashed, "Dr A").close()
    assert "no longer holds the voxels of entry 2" in drain(log_in(crashed)).verdict


def test_a_spreadsheet_gets_every_row(read_over, folder, tmp_path):
    log = drain(log_in(folder))
    with write_log(log, tmp_path / "log.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["what"] for row in rows] == [line.what for line in log.lines]
    assert (rows[0]["slices"], rows[0]["voxels"], rows[0]["network"]) == ("3", "16", "masc_net")
    assert rows[-1]["voxels"] == ""
