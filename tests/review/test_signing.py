"""Signatures stand for what was signed; a signed session opens again as a new version; two readers compare."""

import json
import sqlite3
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from napari_covseg.export import export_nifti
from napari_covseg.jobs import drain
from napari_covseg.review import ReviewSession, audit
from napari_covseg.review.audit import GENESIS, Row
from napari_covseg.review.before_signing import LEAST_LOOK_S, checked_before_signing
from napari_covseg.review.holder import HeadFile
from napari_covseg.review.readers import agreement_of_readers, reading_of
from napari_covseg.review.session_facts import LONGEST_PAUSE_S
from napari_covseg.review.signing import fingerprint
from napari_covseg.volume import Provenance, reoriented


def test_a_signature_stands_for_log_and_label_map(session, paint):
    paint(session, 1)
    session.mark_reviewed(1)
    head = session.journal.head
    session.sign()
    signature = session.signature
    assert (signature.head, signature.version) == (head, 1)
    assert signature.labels_sha256 == fingerprint(session.labels.values)
    assert session.trail[-1].detail["reviewed"] == [1]


def test_a_signed_session_opens_again_as_a_new_version_and_keeps_the_signature(session, paint, folder):
    paint(session, 1)
    session.sign()
    first = session.signature
    session.reopen("a nodule was missed")
    assert (session.signature, session.version) == (None, 2)
    paint(session, 2)
    session.sign()
    session.close()
    again = ReviewSession.resume(folder, "Dr A")
    assert again.version == 2
    assert again.signatures == (first, again.signature)
    assert again.signature.version == 2
    assert [e.detail["reason"] for e in again.trail if e.kind == "reopen"] == ["a nodule was missed"]
    assert again.notes == ()
    again.close()


def test_only_a_signed_session_can_be_opened_again(session):
    with pytest.raises(ValueError, match="not signed"):
        session.reopen()


def test_only_who_signed_a_session_opens_it_again(session, paint, folder):
    paint(session, 1)
    session.sign()
    session.close()
    other = ReviewSession.resume(folder, "Dr B")
    with pytest.raises(ValueError, match="Dr A signed this session and alone opens it again"):
        other.reopen()
    assert other.signature is not None
    other.close()


def test_a_label_map_that_is_not_the_signed_one_is_told(session, paint, folder, tamper):
    paint(session, 1)
    session.sign()
    session.close()
    tamper(folder, "DELETE FROM event WHERE seq = 1")
    for file in folder.glob("labels-*.npz"):
        file.unlink()
    again = ReviewSession.resume(folder, "Dr A")
    assert any("not the one that was signed" in note for note in again.notes)
    again.close()


def test_the_log_tells_who_what_where_and_which_checkpoint(session, paint):
    trained = Provenance("masc_net", "masc_net", "masc_net_compact", "ab" * 32)
    session.propose(4, np.ones((8, 6), np.uint8), "MASC-Net", "run", trained)
    paint(session, 4, value=2)
    session.undo()
    network, stroke, undone = session.trail
    assert network.detail["network"] == "masc_net"
    assert network.detail["checkpoint"] == "masc_net_compact"
    assert network.detail["checkpoint_sha256"] == "ab" * 32
    for event in (stroke, undone):
        assert (event.reader, event.detail["tool"]) == ("Dr A", "brush")
        assert (event.detail["slices"], event.detail["voxels"]) == ([4], 4)
    assert undone.detail["rows"] == [2]


def test_a_mark_keeps_how_long_the_slice_was_seen(session, folder):
    session.saw(3, 1.5)
    session.saw(3, 2.0)
    session.mark_reviewed(3)
    session.mark_reviewed(4)
    session.close()
    again = ReviewSession.resume(folder, "Dr A")
    assert (again.marks[3].seen_s, again.marks[4].seen_s) == (3.5, 0.0)
    again.close()


@pytest.mark.parametrize(("seconds", "is_told"), [(LEAST_LOOK_S, False), (LEAST_LOOK_S - 0.1, True), (None, False)])
def test_a_reviewed_slice_that_was_hardly_on_screen_is_told(session, scan, seconds, is_told):
    if seconds is not None:
        session.saw(3, seconds)
    session.mark_reviewed(3)
    found = drain(checked_before_signing(session.labels, reoriented(scan), session.marks))
    told = [finding for finding in found if finding.kind == "hardly seen"]
    assert [finding.slice_index for finding in told] == ([3] if is_told else [])


def test_two_readers_agree_on_the_slices_that_both_reviewed(session, scan, paint, tmp_path):
    other = ReviewSession.begin(tmp_path / "other", scan, "Dr B")
    with pytest.raises(ValueError, match="no reviewed slice in common"):
        agreement_of_readers(reading_of(session), reading_of(other))
    for each in (session, other):
        paint(each, 1)
        each.mark_reviewed(1)
    paint(other, 2)
    other.mark_reviewed(2)
    same = agreement_of_readers(reading_of(session), reading_of(other))
    assert (same.readers, same.slices) == (("Dr A", "Dr B"), (1,))
    assert same.classes["ggo"].overlap.scores()["dice"] == 1.0
    session.mark_reviewed(2)
    differing = agreement_of_readers(reading_of(session), reading_of(other))
    assert differing.slices == (1, 2)
    assert differing.classes["ggo"].overlap.scores()["dice"] == pytest.approx(2 * 4 / (4 + 8))
    other.close()


def test_minutes_leave_out_pauses(session, paint, monkeypatch):
    paint(session, 1)
    for number, gap_s in enumerate((30, 90, LONGEST_PAUSE_S + 1, 60), start=2):
        paint(session, number)
        trail = session.journal.trail
        trail[-1] = replace(trail[-1], time_utc=trail[-2].time_utc + timedelta(seconds=gap_s))
    assert session.minutes == pytest.approx(3.0)


def forge(folder, change):
    """Change rows and seal all of them anew, as one would who knows how; the head beside them is put right, too."""
    connection = sqlite3.connect(folder / "session.sqlite", isolation_level=None)
    rows, previous = [Row._make(row) for row in connection.execute("SELECT * FROM event ORDER BY seq")], GENESIS
    for row in map(change, rows):
        made = audit.sealed(row.seq, previous, (row.time_utc, row.reader, row.kind, row.detail), row.payload)
        made = made._replace(payload_sha256=row.payload_sha256)
        made = made._replace(hash=made.seal())
        connection.execute("DELETE FROM event WHERE seq = ?", (made.seq,))
        connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", made)
        previous = made.hash
    connection.close()
    head = HeadFile(folder)
    head.write(len(rows), previous.hex())
    head.close()


@pytest.fixture
def signed(session, paint):
    for index in range(3):
        paint(session, index)
    session.mark_reviewed(1)
    session.sign()
    session.close()
    return session.folder


def opened_twice(folder):
    for _ in range(2):
        found = ReviewSession.resume(folder, "Dr A")
        yield " ".join(found.notes), found.was_damaged
        found.close()


def test_a_log_forged_before_its_signature_shows_at_every_opening(signed):
    forge(signed, lambda row: row._replace(reader="Dr M") if row.seq == 2 else row)
    for file in signed.glob("labels-*"):
        file.unlink()
    for notes, was_damaged in opened_twice(signed):
        assert "The log is not the one that Dr A signed on" in notes
        assert was_damaged


def test_a_log_forged_with_its_signature_is_belied_by_the_snapshots(signed):
    def change(row):
        return row._replace(detail='{"reviewed": [1]}') if row.kind == "sign" else row._replace(reader="Dr M")

    forge(signed, change)
    notes = list(opened_twice(signed))
    assert "replaced or rewritten" in notes[0][0]
    assert "it had been replaced" in notes[1][0]
    assert notes[0][1]
    found = ReviewSession.resume(signed, "Dr A")
    assert [e.kind for e in found.trail].count("recovery") == 1
    found.close()


def test_a_log_without_any_witness_is_told(signed, tamper):
    for file in (*signed.glob("labels-*"), signed / "session.head"):
        file.unlink()
    tamper(signed, "DELETE FROM event WHERE seq > 3")
    for notes, _ in opened_twice(signed):
        assert "replaced" in notes


def test_a_log_as_it_was_signed_says_nothing(signed):
    assert list(opened_twice(signed)) == [("", False)] * 2
    found = ReviewSession.resume(signed, "Dr A")
    found.reopen("more")
    found.sign()
    found.close()
    assert list(opened_twice(signed)) == [("", False)] * 2


def test_the_head_leaves_the_house_with_a_signed_mask_and_with_no_other(signed, tmp_path):
    found = ReviewSession.resume(signed, "Dr A")
    told = tmp_path / "case_lesion.signature.json"

    def export():
        return export_nifti(
            found.labels, found.home_geometry, "case", tmp_path, overwrite=True, signature=found.signature
        )

    assert export() == tmp_path / "case_lesion.nii.gz"
    signature = json.loads(told.read_text())
    assert signature["head"] == found.trail[-2].hash.hex()
    assert (signature["reader"], signature["version"]) == ("Dr A", 1)
    assert signature["labels_sha256"] == fingerprint(found.labels.values)
    found.reopen("more")
    export()
    assert not told.exists()
    found.close()
