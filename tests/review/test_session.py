"""The session: nothing is lost, everything can be taken back, marks and signature hold."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_covseg.review import ReviewSession
from napari_covseg.volume import Provenance, Volume


def _paint(session, index, value=1, column=0):
    values = session.labels.values.copy()
    values[index, 2:4, column : column + 2] = value
    return session.absorb(values, "brush", f"brush on slice {index + 1}")


def _reopened(session, scan):
    session.close()
    return ReviewSession.begin(session.folder, scan, "Dr A")


def test_a_session_is_in_reading_order_and_starts_empty(session):
    assert session.geometry.orientation == "IPL"
    assert session.labels.values.shape == (10, 8, 6)
    assert not session.labels.values.any()
    assert (session.undo_title, session.redo_title) == ("", "")


def test_labels_cannot_be_changed_behind_the_sessions_back(session):
    with pytest.raises(ValueError, match="read-only"):
        session.labels.values[0, 0, 0] = 1


def test_a_stroke_is_one_correction_with_its_title(session):
    seen = []
    session.changed.connect(seen.append)
    correction = _paint(session, 3)
    assert seen == [correction]
    assert correction.slices == range(3, 4)
    assert session.undo_title == "brush on slice 4"


def test_nothing_changed_is_no_correction(session):
    assert session.absorb(session.labels.values, "brush", "brush") is None
    assert session.undo_title == ""


def test_the_session_reopens_as_it_was(session, scan):
    _paint(session, 3)
    _paint(session, 4, value=2)
    session.undo()
    session.propose(7, np.full((8, 6), 3, np.uint8), "network", "run1")
    session.mark_reviewed(7)
    values, marks = session.labels.values.copy(), session.marks
    again = _reopened(session, scan)
    assert np.array_equal(again.labels.values, values)
    assert again.marks == marks
    assert again.undo_title == "network"
    assert again.undo()
    assert again.undo()
    assert not again.undo()
    assert not again.labels.values.any()
    again.close()


def test_a_run_of_a_network_is_taken_back_as_one(session):
    _paint(session, 0)
    for index in (4, 5, 6):
        session.propose(index, np.ones((8, 6), np.uint8), "network on 3 slices", "run1")
    session.undo()
    assert session.labels.values[4:7].any() == np.False_
    assert session.labels.values[0].any()
    session.redo()
    assert session.labels.values[4:7].all()
    assert session.undo_title == "network on 3 slices"


def test_a_stroke_during_a_run_is_taken_back_on_its_own(session):
    session.propose(4, np.ones((8, 6), np.uint8), "network", "run1")
    _paint(session, 4, value=2)
    session.propose(5, np.ones((8, 6), np.uint8), "network", "run1")
    session.undo()
    assert not session.labels.values[5].any()
    assert (session.labels.values[4] == 2).any()
    session.undo()
    assert not (session.labels.values[4] == 2).any()


def test_a_new_correction_forgets_what_was_undone(session):
    _paint(session, 1)
    session.undo()
    _paint(session, 2)
    assert not session.redo()


def test_touched_slices_are_the_readers_until_a_network_writes_on_them(session):
    _paint(session, 1)
    _paint(session, 2)
    assert session.touched == {1, 2}
    session.propose(1, np.full((8, 6), 3, np.uint8), "network", "r")
    assert session.touched == {2}
    session.undo()
    assert session.touched == {1, 2}


def test_the_rest_is_one_correction_that_writes_on_nothing_of_the_readers_own(session, scan):
    for index in (1, 4, 6):
        session.propose(index, np.full((8, 6), 3, np.uint8), "first", "run")
    session.mark_reviewed(4)
    session.mark_reviewed(5)
    _paint(session, 6, value=2)
    before = session.labels.values.copy()
    origin = Provenance(source="network", network="res_att_unet", checkpoint="child", checkpoint_sha256="c" * 64)
    made = session.propose_rest(np.ones((10, 8, 6), np.uint8), range(9), "child on the rest", origin)
    expected = before.copy()
    expected[[0, 1, 2, 3, 7, 8]] = 1
    assert np.array_equal(session.labels.values, expected)
    assert session.reviewed == (4, 5)
    assert session.touched == {6}
    assert made.changed_slices == (0, 1, 2, 3, 7, 8)
    row = session.trail[-1]
    assert (row.kind, row.detail["tool"], row.detail["checkpoint_sha256"]) == ("correction", "network", "c" * 64)
    again = _reopened(session, scan)
    assert (again.touched, again.reviewed, again.undo_title) == ({6}, (4, 5), "child on the rest")
    assert again.undo()
    assert np.array_equal(again.labels.values, before)
    assert again.reviewed == (4, 5)
    assert again.redo()
    assert np.array_equal(again.labels.values, expected)


def test_a_mark_is_reader_and_time_and_survives(session, scan):
    session.mark_reviewed(2)
    again = _reopened(session, scan)
    mark = again.marks[2]
    assert mark.reader == "Dr A"
    assert abs((datetime.now(UTC) - mark.time_utc).total_seconds()) < 60
    again.unmark(2)
    assert again.reviewed == ()
    again.close()


def _relabel(session):
    values = session.labels.values.copy()
    values[values > 0] = 3
    return session.absorb(values, "relabel", "the whole scan")


def test_undo_gives_back_the_marks_that_its_step_took_and_redo_takes_them_again_also_after_a_restart(session, scan):
    for index in range(6):
        _paint(session, index)
        session.mark_reviewed(index)
    session.mark_reviewed(8)
    marks, before = session.marks, session.labels.values.copy()
    _relabel(session)
    assert session.reviewed == (8,)
    rows = session.journal.last
    session.undo()
    assert np.array_equal(session.labels.values, before)
    assert session.marks == marks
    row = session.trail[-1]
    assert (row.kind, row.seq, [index for index, *_ in row.detail["marks"]]) == ("undo", rows + 1, list(range(6)))
    again = _reopened(session, scan)
    assert again.marks == marks
    again.redo()
    assert again.reviewed == (8,)
    again = _reopened(again, scan)
    assert again.reviewed == (8,)
    again.undo()
    assert again.marks == marks
    again = _reopened(again, scan)
    assert (again.marks, again.was_damaged) == (marks, False)
    again.close()


def test_undo_gives_back_no_mark_that_the_reader_took_back_herself_and_none_of_another_version(session):
    _paint(session, 2)
    _paint(session, 3)
    session.mark_reviewed(2)
    session.mark_reviewed(3)
    session.unmark(3)
    _relabel(session)
    session.mark_reviewed(3)  # of the relabelled slice
    session.undo()
    assert session.reviewed == (2,)
    session.undo()
    assert session.reviewed == (2,)
    session.undo()
    assert session.reviewed == ()
    session.redo()
    assert session.reviewed == (2,)


def test_an_undo_that_cannot_be_written_leaves_map_and_marks_and_can_be_made_again(session, monkeypatch):
    _paint(session, 2)
    session.mark_reviewed(2)
    marks = session.marks
    _paint(session, 2, value=2)
    append, room = session.journal.append, [1]

    def on_a_disk_with_room_for_some_rows(*row):
        if not room[0]:
            raise OSError("The disk is full")
        room[0] -= 1
        return append(*row)

    monkeypatch.setattr(session.journal, "append", on_a_disk_with_room_for_some_rows)
    assert session.undo()
    assert session.marks == marks
    with pytest.raises(OSError, match="full"):
        session.redo()
    assert session.marks == marks
    assert session.labels.values[2].max() == 1
    room[0] = 2
    session.redo()
    assert session.marks == {}
    session.undo()
    assert session.marks == marks


def test_a_log_of_an_earlier_version_gave_marks_back_in_a_row_of_its_own(session, scan):
    _paint(session, 2)
    session.mark_reviewed(2)
    marks = session.marks
    _paint(session, 2, value=2)
    undone = {"rows": [3], "tool": "brush", "title": "brush", "slices": [2], "voxels": 12}
    row = session.journal.append("undo", "Dr A", undone)
    told = [[2, "Dr A", marks[2].time_utc.isoformat(), None]]
    session.journal.append("restore", "Dr A", {"row": row.seq, "slices": [2], "marks": told})
    session.journal.close()
    again = ReviewSession.begin(session.folder, scan, "Dr A")
    assert again.labels.values[2].max() == 1
    assert (again.reviewed, again.marks[2].time_utc, again.notes) == ((2,), marks[2].time_utc, ())
    again.redo()
    assert again.reviewed == ()
    again.undo()
    assert again.reviewed == (2,)
    again.close()


def test_redo_gives_back_no_mark_that_the_reader_took_back_in_between(session, scan):
    _paint(session, 2)
    session.mark_reviewed(2)
    _paint(session, 2, value=2)
    session.mark_reviewed(2)
    session.undo()
    session.unmark(2)
    again = _reopened(session, scan)
    for step in (again.redo, again.undo, again.redo):
        assert step()
        assert again.reviewed == ()
    again.close()


def test_a_journal_that_lost_an_undo_gives_no_mark_back(session, scan):
    _paint(session, 2)
    session.mark_reviewed(2)
    _paint(session, 2, value=2)
    session.undo()
    session.mark_reviewed(7)
    lost = session.journal.last - 1
    folder = session.folder
    session.close()
    for snapshot in folder.glob("labels-*.npz"):
        snapshot.unlink()
    with closing(sqlite3.connect(folder / "session.sqlite", isolation_level=None)) as file:
        file.execute("PRAGMA secure_delete = ON")
        file.execute("DELETE FROM event WHERE seq = ?", (lost,))
    again = ReviewSession.begin(folder, scan, "Dr A")
    assert again.was_damaged
    assert again.labels.values[2].max() == 2
    assert again.reviewed == (7,)
    again.close()


def test_changing_a_reviewed_slice_takes_its_mark_back_and_no_others(session):
    session.mark_reviewed(2)
    session.mark_reviewed(3)
    _paint(session, 2)
    assert session.reviewed == (3,)


def test_a_slice_that_is_not_there_cannot_be_marked(session):
    with pytest.raises(ValueError, match="no slice 11"):
        session.mark_reviewed(10)


def test_a_signed_session_does_not_change_any_more(session, scan):
    _paint(session, 1)
    session.sign()
    again = _reopened(session, scan)
    assert again.signature.reader == "Dr A"
    for change in (lambda: _paint(again, 2), again.undo, lambda: again.mark_reviewed(0), again.sign):
        with pytest.raises(ValueError, match="signed"):
            change()
    assert again.labels.values[1].any()
    assert not again.labels.values[2].any()
    again.close()


def test_a_session_of_another_scan_is_refused(session, scan, folder):
    session.close()
    other = Volume(scan.hu + 1, scan.geometry, scan.name)
    with pytest.raises(ValueError, match="holds that of another scan; move it out of"):
        ReviewSession.begin(folder, other, "Dr A")


def test_a_second_window_may_look_and_is_told_who_has_the_session(session, scan, folder):
    _paint(session, 1)
    second = ReviewSession.begin(folder, scan, "Dr B")
    assert second.labels.values[1].any()
    assert second.notes == (second.refusal,)
    assert second.refusal.startswith("Dr A since ")
    for change in (lambda: _paint(second, 2), second.undo, lambda: second.mark_reviewed(0), second.sign):
        with pytest.raises(ValueError, match=r"Dr A since .* not changed"):
            change()
    assert not second.labels.values[2].any()
    second.close()
    _paint(session, 2)  # the first goes on


def test_a_session_resumes_without_its_scan(session, folder, scan):
    _paint(session, 1)
    session.close()
    resumed = ReviewSession.resume(folder, "Dr A")
    assert resumed.labels.values[1].any()
    assert resumed.home_geometry.same_grid(scan.geometry)
    assert resumed.case == "case"
    resumed.close()


def test_a_folder_that_is_no_session_is_named(tmp_path):
    with pytest.raises(ValueError, match="not a review session"):
        ReviewSession.resume(tmp_path, "Dr A")


def test_a_damaged_journal_is_refused_in_a_sentence(folder, scan):
    folder.mkdir()
    (folder / "session.sqlite").write_bytes(b"this is not a database at all, it is a sentence" * 100)
    with pytest.raises(ValueError, match="damaged"):
        ReviewSession.begin(folder, scan, "Dr A")


def test_every_correction_is_on_disk_when_the_call_returns(session, folder, tmp_path):
    _paint(session, 1)
    copied = tmp_path / "copy"
    copied.mkdir()
    for part in folder.iterdir():  # what a crash right now would leave
        (copied / part.name).write_bytes(part.read_bytes())
    rows = sqlite3.connect(copied / "session.sqlite").execute("SELECT kind FROM event").fetchall()
    assert rows == [("correction",)]


def test_the_journal_is_write_ahead_and_fully_synchronous(session):
    connection = session.journal._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("paint"), st.integers(0, 9), st.integers(0, 4)),
        st.tuples(st.just("run"), st.integers(0, 7), st.integers(0, 4)),
        st.tuples(st.just("undo"), st.just(0), st.just(0)),
        st.tuples(st.just("redo"), st.just(0), st.just(0)),
        st.tuples(st.just("mark"), st.integers(0, 9), st.just(0)),
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_any_review_ends_where_its_model_says_and_undoing_all_gives_the_beginning(scan, tmp_path_factory, steps):
    session = ReviewSession.begin(tmp_path_factory.mktemp("s"), scan, "Dr A")
    history, undone = [session.labels.values.copy()], []
    for run, (kind, index, value) in enumerate(steps):
        before = session.labels.values.copy()
        if kind == "paint":
            _paint(session, index, value, column=index % 4)
        elif kind == "run":
            for place in (index, index + 1):
                session.propose(place, np.full((8, 6), value, np.uint8), "network", f"run{run}")
        elif kind == "undo" and session.undo():
            undone.append(history.pop())
        elif kind == "redo" and session.redo():
            history.append(undone.pop())
        elif kind == "mark":
            session.mark_reviewed(index)
        if kind in ("paint", "run") and not np.array_equal(before, session.labels.values):
            history.append(session.labels.values.copy())
            undone.clear()
        assert np.array_equal(session.labels.values, history[-1])
    reviewed = session.reviewed
    session = _reopened(session, scan)
    assert np.array_equal(session.labels.values, history[-1])
    assert session.reviewed == reviewed
    while session.undo():
        pass
    assert not session.labels.values.any()
    session.close()
