"""`covseg log`: the audit trail, verified; what was changed in it is said, and the exit code tells."""

import sqlite3

import pytest

from napari_covseg.io import read_volume
from napari_covseg.review import ReviewSession
from napari_covseg.review.recovery import FILE_NAME


@pytest.fixture
def session(small_scan, tmp_path):
    session = ReviewSession.begin(tmp_path / "small-1a2b", read_volume(small_scan), "Dr A", small_scan)
    for index in (1, 2):
        values = session.labels.values.copy()
        values[index, 2:5, 2:5] = 1
        session.absorb(values, "brush", f"brush on slice {index + 1}")
    session.mark_reviewed(1)
    session.close()
    return session.folder


def test_the_log_is_told_to_programs_and_to_people(covseg, session):
    said = covseg("log", session, "--json")
    assert said.status == 0, said.err
    told = said.json
    assert told["verified"] is True
    assert (told["scan"], told["reader"], told["doubts"]) == ("small_ct", "Dr A", [])
    assert [(each["what"], each["slices"], each["voxels"]) for each in told["entries"]] == [
        ("Brush on slice 2", [2], 9),
        ("Brush on slice 3", [3], 9),
        ("Marked reviewed", [2], None),
    ]
    shown = covseg("log", session)
    assert "All 3 entries of this log are as they were written" in shown.err
    assert shown.out.index("Marked reviewed") < shown.out.index("Brush on slice 3") < shown.out.index("slice 2")
    assert told["entries"][0]["sealed_with"][:12] in shown.out


def test_a_log_that_was_edited_is_shown_and_fails(covseg, session):
    with sqlite3.connect(session / FILE_NAME) as connection:
        connection.execute("UPDATE event SET reader = 'Dr B' WHERE seq = 2")
    connection.close()
    said = covseg("log", session, "--json")
    assert said.status == 1
    assert said.json["verified"] is False
    assert said.json["doubts"]
    assert [each["number"] for each in said.json["entries"]] == [1, 3]


def test_a_file_for_spreadsheets_is_not_replaced_unasked(covseg, session, tmp_path):
    assert covseg("log", session, "--csv", tmp_path / "log.csv").status == 0
    assert len((tmp_path / "log.csv").read_text("utf-8-sig").splitlines()) == 4
    said = covseg("log", session, "--csv", tmp_path / "log.csv")
    assert (said.status, "--overwrite replaces it" in said.err) == (1, True)
    assert covseg("log", session, "--csv", tmp_path / "log.csv", "--overwrite").status == 0


def test_what_is_no_session_is_refused_in_a_sentence(covseg, tmp_path):
    said = covseg("log", tmp_path)
    assert (said.status, said.out) == (1, "")
    assert "is not a review session" in said.err
