"""Whatever happens to the files, the session opens, nothing that is left is lost, and what is lost is said."""

import codecs
import os
import re
import resource
import shutil
import signal
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_covseg.review import ReviewSession, history, keeping, snapshot
from napari_covseg.volume import Geometry, Volume

JOURNAL, LOG = "session.sqlite", "session.sqlite-wal"


@pytest.fixture
def reviewed(session, paint):
    """A session in which something of everything was done."""
    for index in range(5):
        paint(session, index, value=1 + index % 3)
    session.propose(7, np.full((8, 6), 3, np.uint8), "network", "run")
    session.undo()
    session.mark_reviewed(2)
    return session


def again(folder):
    return ReviewSession.resume(folder, "Dr A")


def in_a_child(work):
    """Do something in another process, which has other rights; return what it printed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            said = work()
        except BaseException as error:  # noqa: BLE001 - the parent asserts on it
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def test_a_session_that_was_not_closed_says_so_and_has_everything(reviewed, left_by_a_crash):
    found = again(left_by_a_crash(reviewed))
    assert np.array_equal(found.labels.values, reviewed.labels.values)
    assert found.marks == reviewed.marks
    assert found.redo_title == "network"
    assert found.trail == reviewed.trail
    (note,) = found.notes
    assert note.startswith("CovSeg did not close this session last time; everything up to")
    found.close()
    assert again(found.folder).notes == ()


def test_a_process_killed_in_the_midst_of_a_stroke_keeps_all_before(scan, tmp_path, paint):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        session = ReviewSession.begin(tmp_path / "killed", scan, "Dr A")
        for number in range(10_000):
            paint(session, number % 10, value=1 + number % 3)
            os.write(writing, b".")
        os._exit(0)
    os.close(writing)
    acknowledged = len(os.read(reading, 1))
    while acknowledged < 5:
        acknowledged += len(os.read(reading, 100))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        acknowledged += len(pipe.read())
    found = again(tmp_path / "killed")
    assert acknowledged <= len(found.trail) <= acknowledged + 1
    found.close()


def test_a_log_cut_between_two_rows_looks_whole_and_is_found_out(reviewed, left_by_a_crash, paint):
    before = left_by_a_crash(reviewed)
    paint(reviewed, 9)
    paint(reviewed, 8)
    after = left_by_a_crash(reviewed)
    log = (before / LOG).read_bytes().rstrip(b"\0")
    (after / LOG).write_bytes(log)
    (before / LOG).write_bytes(log)
    assert "damaged" not in again(before).notes[0]
    found = again(after)
    assert "up to 2 changes made after" in found.notes[0]
    assert "must be made again" in found.notes[0]
    assert found.undo_title == "brush on slice 5"
    paint(found, 9)
    found.close()
    found = again(after)
    assert found.notes[0].endswith("entries 9–10 are missing.")
    assert [e.seq for e in found.trail] == [*range(1, 9), 11, 12]
    found.close()


@pytest.mark.parametrize("at", [0, 1, 15, 50, 99, 100, 4095, 4096, 8192, 10_000])
def test_a_file_cut_anywhere_opens_and_its_snapshot_has_the_labels(reviewed, at):
    values, marks = reviewed.labels.values.copy(), reviewed.marks
    reviewed.close()
    file = reviewed.folder / JOURNAL
    file.write_bytes(file.read_bytes()[:at])
    found = again(reviewed.folder)
    assert np.array_equal(found.labels.values, values)
    assert found.marks == marks
    assert "all corrections are there" in found.notes[0]
    found.mark_reviewed(0)
    found.close()
    found = again(reviewed.folder)
    assert np.array_equal(found.labels.values, values)
    assert found.reviewed == (0, 2)
    found.close()


def test_a_journal_that_was_deleted_comes_back_from_its_snapshot(reviewed):
    values = reviewed.labels.values.copy()
    reviewed.close()
    (reviewed.folder / JOURNAL).unlink()
    found = again(reviewed.folder)
    assert np.array_equal(found.labels.values, values)
    assert "8 entries of its log are lost" in found.notes[0]
    found.close()


def test_snapshots_beside_the_journal_may_be_cut_without_loss(reviewed):
    values = reviewed.labels.values.copy()
    reviewed.close()
    for file in reviewed.folder.glob("labels-*.npz"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    found = again(reviewed.folder)
    assert np.array_equal(found.labels.values, values)
    assert found.notes == ()
    assert found.undo()
    found.close()


def _spoil(head, how):
    """Make what tells the last row say nothing."""
    content = head.read_bytes()
    head.unlink()
    if how == "a folder":
        head.mkdir()
    elif how != "missing":
        head.write_bytes({"cut": content[:40], "empty": b"", "zeros": bytes(85), "noise": os.urandom(85)}[how])


@pytest.mark.parametrize("how", ["missing", "cut", "empty", "zeros", "noise", "a folder"])
def test_a_log_that_may_be_cut_since_its_head_says_nothing_is_told_now_and_later(reviewed, left_by_a_crash, paint, how):
    log = (left_by_a_crash(reviewed) / LOG).read_bytes().rstrip(b"\0")
    paint(reviewed, 9)
    after = left_by_a_crash(reviewed)
    (after / LOG).write_bytes(log)
    _spoil(after / "session.head", how)
    is_or_was = ("is missing", "was missing") if how == "missing" else ("cannot be read", "could not be read")
    looked = ReviewSession.resume(after, "Dr A", read_only="Only looking.")
    told = f"log, {is_or_was[0]}, so nobody can tell whether anything was done after"
    assert told in looked.notes[-1]
    looked.close()
    found = again(after)
    assert told in found.notes[-1]
    assert found.was_damaged
    assert found.undo_title == "brush on slice 5"
    found.close()
    for _ in range(2):
        found = again(after)
        (note,) = found.notes
        assert note.endswith(
            f"session.head of this session {is_or_was[1]}; whether anything before was lost is not known."
        )
        assert [e.kind for e in found.trail].count("recovery") == 1
        found.close()
    assert (after / "session.head").stat().st_size == 85


@pytest.mark.parametrize("how", ["missing", "noise"])
def test_of_a_damaged_log_whose_head_says_nothing_nobody_says_that_nothing_is_lost_behind_it(
    reviewed, left_by_a_crash, paint, how, tamper
):
    for index in (8, 9):
        paint(reviewed, index)
    folder = tamper(left_by_a_crash(reviewed), "DELETE FROM event WHERE seq IN (3, 10)")
    _spoil(folder / "session.head", how)
    found = again(folder)
    assert "up to 1 change made after" in found.notes[0]
    assert any("nobody can tell whether anything was done after" in note for note in found.notes)
    found.close()


@pytest.mark.parametrize("how", ["missing", "noise", "empty"])
def test_a_session_of_which_only_its_scan_is_left_is_not_called_new(session, paint, how, tamper):
    paint(session, 3)
    session.close()
    tamper(session.folder, "DELETE FROM event")
    _spoil(session.folder / "session.head", how)
    for file in session.folder.glob("labels-*.npz"):
        file.unlink()
    found = again(session.folder)
    assert "nobody can tell whether anything was done in it" in found.notes[0]
    found.close()
    assert again(session.folder).notes[0].endswith("whether anything before was lost is not known.")


@pytest.mark.parametrize("rows", [0, 1])
def test_a_session_that_an_earlier_version_had_just_begun_is_not_damaged(session, paint, left_by_a_crash, rows):
    for index in range(rows):
        paint(session, index)
    folder = left_by_a_crash(session)
    (folder / "session.head").write_bytes(b"")  # as it was until the head of the first row was in it
    found = again(folder)
    (note,) = found.notes
    assert note.startswith("CovSeg did not close this session last time")
    found.close()
    assert again(folder).notes == ()


def test_a_head_that_is_deleted_while_the_session_is_open_is_written_again(session, paint):
    paint(session, 1)
    (session.folder / "session.head").unlink()
    paint(session, 2)
    session.close()
    assert again(session.folder).notes == ()


def test_what_is_only_looked_at_is_not_said_to_be_mended(session, paint, left_by_a_crash, tamper):
    for index in range(4):
        paint(session, index)
    after = left_by_a_crash(session)
    tamper(after, "UPDATE event SET payload = NULL WHERE seq = 2")
    looked = ReviewSession.resume(after, "Dr A", read_only="Only looking.")
    assert any(note.startswith("The journal of this session is damaged") for note in looked.notes)
    looked.close()
    assert "has been put together again" in again(after).notes[-1]


def test_the_head_says_that_there_is_no_row_yet(session):
    number, digest, _ = (session.folder / "session.head").read_text().split()
    assert (int(number), digest) == (0, "0" * 64)


def test_damaged_pages_cost_only_what_was_on_them(session, paint):
    for number in range(120):
        paint(session, number % 10, value=1 + number % 4, column=number % 5)
    values = session.labels.values.copy()
    session.close()
    file = session.folder / JOURNAL
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    file.write_bytes(content)
    found = again(session.folder)
    lost = 120 - sum(e.kind == "correction" for e in found.trail)
    assert 0 < lost < 40
    assert f"{lost} entries of its log are lost" in found.notes[0]
    assert np.array_equal(found.labels.values, values)
    (aside,) = found.folder.glob("damaged-*")
    assert (aside / JOURNAL).read_bytes() == content
    found.close()


def test_strokes_after_a_gap_are_kept_where_no_snapshot_has_them(session, paint, left_by_a_crash, tamper):
    for index in range(10):
        paint(session, index, value=2)
    folder = left_by_a_crash(session)
    tamper(folder, "DELETE FROM event WHERE seq = 4")
    found = again(folder)
    assert [index for index in range(10) if not found.labels.values[index].any()] == [3]
    assert "up to 1 change made after" in found.notes[0]
    assert "can no longer be undone" in found.notes[0]
    assert found.undo_title == ""
    paint(found, 3, value=1)
    assert found.undo()
    found.close()


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("loss", ["UPDATE event SET payload = NULL WHERE seq = 3", "DELETE FROM event WHERE seq = 3"])
def test_a_mark_is_taken_back_where_damage_took_what_it_vouched_for(
    session, paint, left_by_a_crash, loss, tells, tamper
):
    def mark(index):  # as an earlier version did it, the mark does not tell what it vouches for
        session.mark_reviewed(index) if tells else session._state("mark", {"slice": index})

    paint(session, 1)
    mark(1)
    for column in range(3):
        paint(session, 3, column=2 * column)
    mark(3)
    mark(5)
    folder = tamper(left_by_a_crash(session), loss)
    looked_at = ReviewSession.resume(folder, "Dr B", read_only="Only looking.")
    found = again(folder)
    kept, anew = ((1, 5), "slice 4") if tells else ((1,), "slices 4, 6")
    for each in (looked_at, found):
        assert each.reviewed == kept
        assert any(note.endswith(f"; {anew} must be marked reviewed anew.") for note in each.notes), each.notes
        each.close()
    found = again(folder)
    assert found.reviewed == kept
    assert "entry 3" in found.notes[0]
    found.close()


def test_a_mark_stays_where_a_snapshot_holds_what_it_vouched_for(session, paint, left_by_a_crash, tamper):
    paint(session, 3)
    session.mark_reviewed(3)
    session.close()
    folder = session.folder
    found = again(folder)
    paint(found, 4)
    found.mark_reviewed(4)
    folder = tamper(left_by_a_crash(found), "DELETE FROM event WHERE seq IN (1, 3)")
    found.close()
    found = again(folder)
    assert found.reviewed == (3,)
    assert "up to 1 change made" in found.notes[0]
    assert found.notes[0].endswith("slice 5 must be marked reviewed anew.")
    found.close()


def test_what_an_earlier_recovery_told_of_is_lost_with_the_snapshot_that_held_it(session, paint, tamper):
    paint(session, 3)
    paint(session, 4)
    session.mark_reviewed(3)
    session.close()
    found = again(tamper(session.folder, "DELETE FROM event WHERE seq = 1"))
    assert found.labels.values[3].any()
    assert "all corrections are there" in found.notes[0]
    assert found.reviewed == (3,)
    found.close()
    for file in session.folder.glob("labels-*.npz"):
        file.unlink()
    found = again(session.folder)
    assert not found.labels.values[3].any()
    assert "up to 1 change could not be read and must be made again" in found.notes[0]
    assert found.reviewed == ()
    found.close()


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM event WHERE seq = 3",
        "DELETE FROM event WHERE seq = 8",
        "UPDATE event SET reader = 'Dr Z' WHERE seq = 3",
        "UPDATE event SET time_utc = '2020-01-01T00:00:00+00:00' WHERE seq = 3",
        "UPDATE event SET detail = replace(detail, 'brush', 'brusq') WHERE seq = 3",
        "UPDATE event SET payload = x'00' WHERE seq = 3",
        "UPDATE event SET payload = NULL WHERE seq = 3",
        "UPDATE event SET seq = 33 WHERE seq = 3",
        "UPDATE event SET hash = x'00' WHERE seq = 3",
    ],
)
def test_a_row_that_is_removed_or_changed_shows(reviewed, change, tamper):
    values = reviewed.labels.values.copy()
    reviewed.close()
    tamper(reviewed.folder, change)
    found = again(reviewed.folder)
    assert any("damaged" in note for note in found.notes)
    assert np.array_equal(found.labels.values, values)
    found.close()
    if "payload" not in change:  # the row itself stands then
        found = again(reviewed.folder)
        is_gone = "missing" if change.startswith("DELETE") else "not as written, and set aside"
        assert any(re.search(rf"entry \d+ is {is_gone}", note) for note in found.notes)
        found.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE event SET reader = 'Dr Z' WHERE seq = 3", "but 1 entry of its log was changed;"),
        ("UPDATE event SET reader = 'Dr Z' WHERE seq IN (3, 5)", "but 2 entries of its log were changed;"),
        ("UPDATE event SET payload = x'00' WHERE seq = 3", "but 1 entry of its log was changed;"),
        ("DELETE FROM event WHERE seq = 3", "but 1 entry of its log is lost;"),
    ],
)
def test_a_changed_row_is_called_changed_and_a_lost_one_lost(reviewed, change, told, tamper):
    reviewed.close()
    tamper(reviewed.folder, change)
    looked_at = ReviewSession.resume(reviewed.folder, "Dr B", read_only="Only looking.")
    found = again(reviewed.folder)
    for each in (looked_at, found):
        assert any(told in note for note in each.notes), each.notes
        each.close()
    (row,) = [event for event in found.trail if event.kind == "recovery"]
    assert len(row.detail["changed"]) == (int(told[4]) if "changed" in told else 0)


@pytest.mark.parametrize("damage", ["another payload", *range(40, 100, 6)])
def test_what_was_put_together_again_opens_clean_from_then_on(scan, tmp_path, damage):
    rng = np.random.default_rng(0)
    large = Volume(np.zeros((40, 36, 12), np.int16), Geometry((40, 36, 12), scan.geometry.affine), "large_ct")
    session = ReviewSession.begin(tmp_path / "large", large, "Dr A")
    for index in range(12):
        values = session.labels.values.copy()
        values[index] = rng.integers(0, 4, values.shape[1:])  # hardly to be compressed: it spills over onto other pages
        session.absorb(values, "brush", "brush")
    session.close()
    file = session.folder / JOURNAL
    if isinstance(damage, int):
        file.write_bytes(file.read_bytes()[: file.stat().st_size * damage // 100])
    else:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("UPDATE event SET payload = x'00' WHERE seq = 5")
    found = again(session.folder)
    assert "put together again" in found.notes[0]
    found.close()
    for _ in range(2):
        found = again(session.folder)
        assert not [note for note in found.notes if "put together again" in note]
        assert np.array_equal(found.labels.values, session.labels.values)
        found.mark_reviewed(0)
        found.close()
    assert len(list(session.folder.glob("damaged-*"))) == 1


def test_a_journal_put_back_to_yesterday_shows(reviewed, paint, tmp_path):
    reviewed.close()
    shutil.copy(reviewed.folder / JOURNAL, tmp_path / "yesterday")
    today = again(reviewed.folder)
    paint(today, 9)
    today.close()
    shutil.copy(tmp_path / "yesterday", reviewed.folder / JOURNAL)
    found = again(reviewed.folder)
    assert "1 entry of its log is lost" in found.notes[0]
    assert found.labels.values[9].any()
    found.close()


@pytest.mark.parametrize("whose", ["another patient", "another reader", "another session of the same"])
@pytest.mark.parametrize("is_signed", [True, False])
def test_what_another_session_saved_is_not_taken_for_this_ones_label_map(
    reviewed, scan, tmp_path, paint, whose, is_signed
):
    if is_signed:
        reviewed.sign()
    values, marks = reviewed.labels.values.copy(), reviewed.marks
    reviewed.close()
    patient = Volume(scan.hu + np.int16(1), scan.geometry, "other_ct") if whose == "another patient" else scan
    other = ReviewSession.begin(tmp_path / "other", patient, "Dr B" if whose == "another reader" else "Dr A")
    for number in range(20):
        paint(other, number % 10, value=1 + number % 4, column=4)
    other.mark_reviewed(8)
    other.close()
    strangers = list(other.folder.glob("labels-*.npz"))
    for file in strangers:
        shutil.copy(file, reviewed.folder)
    looked_at = ReviewSession.begin(reviewed.folder, scan, "Dr A", read_only="Only looking.")
    found = ReviewSession.begin(reviewed.folder, scan, "Dr A")
    for each in (looked_at, found):
        assert np.array_equal(each.labels.values, values)
        assert each.marks == marks
        assert (each.signature is not None) == is_signed
        (note,) = (note for note in each.notes if note != "Only looking.")
        assert note.startswith("Beside this session lay what another one saved: labels-00000021.npz")
        assert each.was_damaged
        each.close()
    (kept,) = reviewed.folder.glob("damaged-*/labels-00000021.npz")
    assert kept.read_bytes() == (other.folder / kept.name).read_bytes()
    found = ReviewSession.begin(reviewed.folder, scan, "Dr A")
    assert np.array_equal(found.labels.values, values)
    assert found.notes == ()
    found.close()


def _redraw(folder, index):
    """Draw into a slice of all snapshots, as a whole file that nothing in it belies."""
    for each in list(snapshot.kept(folder)):
        plane = each.label_map()[index]
        plane[:3, :3] = 4
        planes = (*each.planes[:index], snapshot.packed(plane), *each.planes[index + 1 :])
        others = [other.seq for other in snapshot.kept(folder) if other.seq != each.seq]
        snapshot.keep(replace(each, planes=planes), folder, *others[:1] or [0])


@pytest.mark.parametrize("is_compacted", [False, True])
def test_labels_that_were_changed_in_a_snapshot_are_not_those_that_a_mark_vouches_for(
    session, paint, monkeypatch, is_compacted
):
    if is_compacted:
        monkeypatch.setattr(keeping, "SNAPSHOT_AT_LAST_AFTER", 10)
        monkeypatch.setattr(history, "UNDO_STEPS", 3)
    for number in range(47):
        paint(session, number % 10, value=1 + number % 4, column=number % 5)
    session.mark_reviewed(3)
    session.mark_reviewed(5)
    values, marks = session.labels.values.copy(), session.marks
    session.close()
    _redraw(session.folder, 5)
    found = again(session.folder)
    if not is_compacted:  # then the log alone tells the label map
        assert np.array_equal(found.labels.values, values)
        assert (found.marks, found.notes) == (marks, ())
    else:
        assert found.reviewed == (3,)
        assert "the labels of slice 6 are not those that were marked reviewed" in found.notes[0]
    found.close()


def test_compaction_lets_go_of_voxels_and_of_no_row(session, scan, paint, monkeypatch):
    monkeypatch.setattr(keeping, "SNAPSHOT_AT_LAST_AFTER", 10)
    monkeypatch.setattr(history, "UNDO_STEPS", 6)
    for number in range(60):
        paint(session, number % 10, value=1 + number % 4, column=number % 5)
    values, trail = session.labels.values.copy(), session.trail
    payloads = session.journal._connection.execute("SELECT count(payload) FROM event").fetchone()[0]
    assert 6 <= payloads < 40
    session.close()
    found = again(session.folder)
    assert np.array_equal(found.labels.values, values)
    assert [e.hash for e in found.trail] == [e.hash for e in trail]
    assert found.notes == ()
    undone = 0
    while found.undo():
        undone += 1
    assert 6 <= undone < 40
    assert found.undo_end == "Undo goes back 6 steps; this is the oldest that is kept."
    found.close()


def test_a_cut_snapshot_after_compaction_leaves_the_one_before(session, paint, monkeypatch):
    monkeypatch.setattr(keeping, "SNAPSHOT_AT_LAST_AFTER", 10)
    monkeypatch.setattr(history, "UNDO_STEPS", 3)
    for number in range(47):
        paint(session, number % 10, value=1 + number % 4, column=number % 5)
    values = session.labels.values.copy()
    session.close()
    _, newest = sorted(session.folder.glob("labels-*.npz"))
    newest.write_bytes(newest.read_bytes()[:-30])
    found = again(session.folder)
    assert np.array_equal(found.labels.values, values)
    assert found.notes == ()
    found.close()
    for file in session.folder.glob("labels-*.npz"):
        file.unlink()
    found = again(session.folder)
    assert "could not be read and must be made again" in found.notes[0]
    found.close()


FORMAT_1 = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time_utc TEXT NOT NULL, reader TEXT NOT NULL,
    kind TEXT NOT NULL, detail TEXT NOT NULL, payload BLOB
);
"""


@pytest.fixture
def of_version_1(reviewed, tmp_path):
    """The journal of the session as the first version would have written it."""
    old = tmp_path / "old"
    old.mkdir()
    connection = sqlite3.connect(old / JOURNAL)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(FORMAT_1)
    now = reviewed.journal._connection
    facts = [
        row for row in now.execute("SELECT key, value FROM about") if row[0] in ("scan_sha256", "scan_name", "grid")
    ]
    connection.executemany("INSERT INTO about VALUES (?, ?)", [*facts, ("format", "1")])
    rows = now.execute(
        "SELECT time_utc, reader, kind, CASE WHEN kind IN ('undo', 'redo') THEN '{}' "
        "ELSE json_remove(detail, '$.slices', '$.begun') END, payload FROM event ORDER BY seq"
    )
    connection.executemany("INSERT INTO event (time_utc, reader, kind, detail, payload) VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return old


def test_a_journal_of_the_first_version_opens_whole(reviewed, of_version_1):
    found = again(of_version_1)
    assert np.array_equal(found.labels.values, reviewed.labels.values)
    assert found.marks.keys() == reviewed.marks.keys()
    assert (found.undo_title, found.redo_title) == (reviewed.undo_title, reviewed.redo_title)
    assert [e.kind for e in found.trail] == [*(e.kind for e in reviewed.trail), "upgrade"]
    assert found.notes == ()
    while found.undo():
        pass
    assert not found.labels.values.any()
    found.close()
    assert again(of_version_1).notes == ()


def test_a_journal_of_the_first_version_may_be_looked_at_without_a_change(reviewed, of_version_1):
    before = (of_version_1 / JOURNAL).read_bytes()
    found = ReviewSession.resume(of_version_1, "Dr B", read_only="Only looking.")
    assert np.array_equal(found.labels.values, reviewed.labels.values)
    found.close()
    assert (of_version_1 / JOURNAL).read_bytes() == before


def test_a_cut_journal_of_the_first_version_keeps_what_is_left(of_version_1):
    file = of_version_1 / JOURNAL
    content = bytearray(file.read_bytes())
    content[8192 + 8] ^= 0xFF  # the table's first cell pointer or its index; either is malformed
    file.write_bytes(content + b"")
    found = again(of_version_1)
    assert found.trail
    found.close()


def test_a_journal_of_a_later_version_is_refused_by_name(reviewed):
    reviewed.journal.remember({"format": 3})
    reviewed.close()
    with pytest.raises(ValueError, match="newer CovSeg; update"):
        again(reviewed.folder)


def test_looking_writes_nothing(reviewed, left_by_a_crash):
    folder = left_by_a_crash(reviewed)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    found = ReviewSession.resume(folder, "Dr B", read_only="Exporting changes nothing.")
    assert np.array_equal(found.labels.values, reviewed.labels.values)
    with pytest.raises(ValueError, match="Exporting changes nothing"):
        found.undo()
    found.close()
    for name in before.keys() - {"session.sqlite-shm"}:
        assert (folder / name).read_bytes() == before[name]


@pytest.fixture
def foreign_folder():
    """A folder that another account may read and not write."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def _as_one_who_may_not_write(folder, work):
    for file in folder.rglob("*"):
        file.chmod(0o555 if file.is_dir() else 0o444)
    folder.chmod(0o555)

    for name in ("ascii", "cp437"):
        codecs.lookup(name)  # zip files want them, and nobody may read root's Python

    def alone():
        if os.geteuid() == 0:
            os.setuid(65534)
        return work()

    said = in_a_child(alone)
    for file in (folder, *folder.rglob("*")):
        file.chmod(0o755)
    return said


@pytest.mark.parametrize("is_crashed", [False, True])
def test_a_read_only_folder_may_be_looked_at_and_says_why(reviewed, left_by_a_crash, foreign_folder, scan, is_crashed):
    crashed = left_by_a_crash(reviewed)
    reviewed.close()
    shutil.copytree(crashed if is_crashed else reviewed.folder, foreign_folder / "s")
    values = reviewed.labels.values

    def look():
        found = ReviewSession.begin(foreign_folder / "s", scan, "Dr B")
        assert np.array_equal(found.labels.values, values)
        assert found.notes == (found.refusal,)  # it was not damaged, and is not said to be
        assert found.undo_title
        try:
            found.mark_reviewed(0)
        except ValueError as error:
            return str(error)
        return "it was changed"

    said = _as_one_who_may_not_write(foreign_folder, look)
    assert "cannot be written, so this session can be looked at but not changed" in said


def test_a_scan_can_be_looked_at_where_no_session_can_be_made(foreign_folder, scan):
    def look():
        return ReviewSession.begin(foreign_folder / "s", scan, "Dr B").refusal

    assert "cannot be written" in _as_one_who_may_not_write(foreign_folder, look)


def test_a_full_disk_costs_the_stroke_in_flight_and_the_review_goes_on_when_there_is_room(small_disk, scan, paint):
    session = ReviewSession.begin(small_disk / "s", scan, "Dr A")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        _fill(file)
    refused, done = None, 0
    while refused is None and done < 5000:
        before = session.labels.values.copy()
        try:
            noise = np.random.default_rng(done).integers(0, 5, (10, 8, 6), dtype=np.uint8)
            session.absorb(noise, "brush", "brush")
            done += 1
        except OSError as error:
            refused = str(error)
    assert refused == (
        "The disk is full: the change could not be saved and was not made; make room on it, then make it again."
    )
    assert session.unsaved == refused
    assert np.array_equal(session.labels.values, before)
    looked = ReviewSession.resume(session.folder, "Dr B", read_only="Only looking.")
    assert np.array_equal(looked.labels.values, before)
    ballast.unlink()
    assert paint(session, 3, value=4) or paint(session, 3, value=0)
    assert session.unsaved == ""
    values = session.labels.values.copy()
    session.close()
    found = again(session.folder)
    assert np.array_equal(found.labels.values, values)
    assert found.notes == ()
    found.close()


def test_a_session_on_a_full_disk_opens_read_only_and_says_why(small_disk, scan, paint):
    session = ReviewSession.begin(small_disk / "s", scan, "Dr A")
    paint(session, 3)
    session.close()
    with (small_disk / "ballast").open("wb", buffering=0) as file:
        _fill(file)
    found = ReviewSession.begin(small_disk / "s", scan, "Dr A")
    assert found.labels.values[3].any()
    with pytest.raises((ValueError, OSError), match="full"):
        paint(found, 4)
    found.close()


@pytest.mark.parametrize("is_crashed", [False, True])
@pytest.mark.parametrize("room", [0, 1, 8192, 20_000, 33_000, 40_000])
def test_an_intact_session_on_a_full_disk_is_not_damaged(small_disk, session, paint, monkeypatch, room, is_crashed):
    paint(session, 3)
    if not is_crashed:
        session.close()
    (small_disk / "s").mkdir()
    for file in session.folder.iterdir():
        (small_disk / "s" / file.name).write_bytes(
            file.read_bytes().rstrip(b"\0") if file.name == LOG else file.read_bytes()
        )
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        _fill(file)
    os.truncate(ballast, ballast.stat().st_size - room)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    found = again(small_disk / "s")
    notes, refusal, values = found.notes, found.refusal, found.labels.values.copy()
    found.close()
    assert np.array_equal(values, session.labels.values)
    full = "The disk is full, so this session can be looked at but not changed; make room and open the scan again."
    assert refusal in ([full] if room < 2 else [full, ""])
    assert set(notes) - {refusal} == {note for note in notes if note.startswith("CovSeg did not close")}
    ballast.unlink()
    found = again(small_disk / "s")
    refusal, was_damaged = found.refusal, found.was_damaged
    found.close()
    assert (refusal, was_damaged) == ("", False)


def _fill(file):
    for size in (1 << 16, 1 << 12, 1):
        try:
            while True:
                if not file.write(b"\0" * size):
                    break
        except OSError:
            continue


def test_a_limit_on_files_costs_the_stroke_in_flight(tmp_path, scan, paint):
    """The same where nobody may mount: no file may grow beyond a few kilobytes."""

    def review():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        session = ReviewSession.begin(tmp_path / "s", scan, "Dr A")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
        try:
            for number in range(1000):
                paint(session, number % 10, value=1 + number % 4, column=number % 5)
        except OSError as error:
            return f"{len(session.trail)} {error}"
        return "no error"

    count, _, said = in_a_child(review).partition(" ")
    assert "could not be saved" in said
    assert "then make it again" in said
    found = again(tmp_path / "s")
    assert len(found.trail) == int(count)
    found.close()
