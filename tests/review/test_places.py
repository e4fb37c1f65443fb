"""A scan finds its session wherever it lies; a changed one is told; readers have places of their own."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.io import Stated, read_volume
from napari_covseg.io.stated import kept_in
from napari_covseg.jobs import drain
from napari_covseg.review import ReviewSession
from napari_covseg.review.places import (
    FoundAt,
    changed_since,
    facts_in,
    folders_beside,
    folders_of,
    place_of,
    session_at,
)
from napari_covseg.review.readers import reading_of
from napari_covseg.review.shelf import Shelf, agreement_with, listed_sessions, other_readings
from napari_covseg.review.whereabouts import scan_found
from napari_covseg.review.worklist import Worklist


@pytest.fixture
def small_scan(small_scan, tmp_path):
    """Deep enough that what other tests left beside is not near."""
    place = tmp_path / "pacs" / "today" / small_scan.name
    place.parent.mkdir(parents=True)
    return small_scan.rename(place)


@pytest.fixture
def sessions(tmp_path):
    return tmp_path / "sessions"


@pytest.fixture
def begun(sessions, small_scan):
    """A session with one stroke, closed."""
    scan = read_volume(small_scan)
    found_at = FoundAt(small_scan)
    session = session_at(place_of(sessions, scan, "Dr A", found_at), scan, "Dr A", found_at)
    values = session.labels.values.copy()
    values[2, 10:20, 10:20] = 2
    session.absorb(values, "brush", "brush")
    session.close()
    return session


def _change(path, by=7, crop=0):
    image = nib.load(path)
    hu = np.asanyarray(image.dataobj)[..., crop:] + np.int16(by)
    nib.save(nib.Nifti1Image(hu, image.affine), path)
    return read_volume(path)


def test_a_moved_scan_finds_its_session(begun, sessions, small_scan, tmp_path):
    moved = tmp_path / "pacs" / "yesterday" / small_scan.name
    moved.parent.mkdir()
    small_scan.rename(moved)
    place, scan = drain(scan_found(begun.scan_path, begun.scan_sha256, Stated()))
    assert place == moved
    found = session_at(place_of(sessions, scan, "Dr A", FoundAt(place)), scan, "Dr A", FoundAt(place))
    assert found.labels.values[2].any()
    assert found.scan_path == place.resolve()
    assert found.notes == ()
    found.close()


def test_a_renamed_scan_finds_its_session_again_and_again_and_is_told_once(begun, sessions, small_scan):
    renamed = small_scan.rename(small_scan.with_name("patient_7_ct.nii.gz"))
    scan, notes = read_volume(renamed), []
    for _ in range(3):
        found = session_at(place_of(sessions, scan, "Dr A", FoundAt(renamed)), scan, "Dr A", FoundAt(renamed))
        assert found.folder == begun.folder
        assert found.labels.values[2].any()
        notes += found.notes
        found.close()
    assert notes == [f"patient_7_ct.nii.gz was called {small_scan.name} before; its session goes on."]
    second = Shelf(sessions, notes.append)
    beside = second.take(scan, "Dr B", FoundAt(renamed), beside=True)
    assert beside.folder.name == f"{begun.folder.name}-2"
    second.close()


def test_a_copy_under_another_name_has_a_session_of_its_own(begun, sessions, small_scan):
    copy = small_scan.with_name("copy_ct.nii.gz")
    copy.write_bytes(small_scan.read_bytes())
    scan = read_volume(copy)
    assert place_of(sessions, scan, "Dr A", FoundAt(copy)).folder != begun.folder


def test_a_scan_that_is_far_away_is_not_looked_for(begun, small_scan, tmp_path):
    far = tmp_path / "far" / "away" / "deep"
    far.mkdir(parents=True)
    small_scan.rename(far / small_scan.name)
    with pytest.raises(ValueError, match="open it from where it is now"):
        drain(scan_found(begun.scan_path, begun.scan_sha256, Stated()))


def test_another_scan_of_that_name_is_not_taken_for_it(begun, small_scan):
    _change(small_scan)
    with pytest.raises(ValueError, match="not the scan that this session belongs to"):
        drain(scan_found(begun.scan_path, begun.scan_sha256, Stated()))


def test_a_scan_that_changed_on_disk_leaves_its_session_read_only_and_says_so(begun, sessions, small_scan):
    changed = _change(small_scan)
    place = place_of(sessions, changed, "Dr A", FoundAt(small_scan))
    assert place.folder == begun.folder
    session = session_at(place, changed, "Dr A", FoundAt(small_scan))
    assert session.labels.values[2].any()
    assert session.notes == (session.refusal,)
    assert "has changed on disk since this session began" in session.refusal
    with pytest.raises(ValueError, match="changed on disk"):
        session.mark_reviewed(0)
    session.close()


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("compacted_to", '"x"'),
        ("compacted_to", "null"),
        ("scan_path", "5"),
        ("scan_path", "no JSON"),
        ("scan_name", "[]"),
    ],
)
def test_a_fact_beside_the_log_that_is_nothing_of_its_kind_is_damage_and_costs_nothing(
    begun, sessions, small_scan, fact, value, tamper
):
    tamper(begun.folder, "INSERT OR REPLACE INTO about VALUES (?, ?)", (fact, value))
    looked_at = ReviewSession.resume(begun.folder, "Dr A", read_only="Only looking.")
    assert looked_at.scan_path == small_scan.resolve()
    looked_at.close()
    own = Shelf(sessions, lambda words: None)
    session = own.take(read_volume(small_scan), "Dr A", FoundAt(small_scan))
    assert session.folder == begun.folder
    assert session.labels.values[2].any()
    assert "put together again" in session.notes[0]
    assert "nothing was lost" in session.notes[0]
    assert session.undo_title == "brush"
    own.close()
    again = own.take(read_volume(small_scan), "Dr A", FoundAt(small_scan))
    assert again.notes == ()
    own.close()


def test_a_session_whose_folder_was_renamed_goes_on(begun, sessions, small_scan):
    own = Shelf(sessions, lambda words: None)
    scan = read_volume(small_scan)
    second = own.take(scan, "Dr B", FoundAt(small_scan), beside=True)
    beside = second.folder
    own.close()
    renamed = begun.folder.rename(sessions / "put aside")
    for reader, folder in (("Dr A", renamed), ("Dr B", beside)):
        session = own.take(scan, reader, FoundAt(small_scan))
        assert session.folder == folder
        assert (session.refusal, session.notes) == ("", ())
    assert own.take(scan, "Dr A", FoundAt(small_scan)).labels.values[2].any()
    own.close()
    looked_at = place_of(sessions, scan, "Dr C", FoundAt(small_scan))
    assert looked_at.read_only.startswith("This is the reading of Dr A.")


def test_another_readers_session_of_another_scan_is_not_opened_on_this_one(begun, sessions, small_scan, tmp_path):
    other = tmp_path / "other_ct.nii.gz"
    shutil.copy(small_scan, other)
    _change(other)
    shelf = Shelf(sessions, lambda words: None)
    theirs = shelf.take(read_volume(other), "Dr B", FoundAt(other))
    theirs_at = theirs.folder
    shelf.close()
    shutil.rmtree(begun.folder)
    shutil.copytree(theirs_at, begun.folder)
    with pytest.raises(ValueError, match="holds that of another scan; move it out of"):
        shelf.take(read_volume(small_scan), "Dr C", FoundAt(small_scan))


def test_of_a_scan_that_changed_on_disk_each_reader_sees_her_own_session(begun, sessions, small_scan):
    second = Shelf(sessions, lambda words: None)
    own = second.take(read_volume(small_scan), "Dr B", FoundAt(small_scan), beside=True)
    assert own.folder != begun.folder
    second.close()
    changed = _change(small_scan)
    for reader, folder in (("Dr B", own.folder), ("Dr A", begun.folder), ("Dr C", begun.folder)):
        place = place_of(sessions, changed, reader, FoundAt(small_scan))
        assert place.folder == folder
        assert "has changed on disk" in place.read_only


def test_a_changed_scan_of_another_name_or_elsewhere_begins_a_session_of_its_own(begun, sessions, small_scan, tmp_path):
    copy = tmp_path / "copy" / small_scan.name
    copy.parent.mkdir()
    copy.write_bytes(small_scan.read_bytes())
    changed = _change(copy)
    place = place_of(sessions, changed, "Dr A", FoundAt(copy))
    assert (place.read_only, place.note) == ("", "")
    assert place.folder != begun.folder


def test_a_scan_of_another_grid_in_its_place_is_told_and_begins_anew(begun, sessions, small_scan):
    changed = _change(small_scan, crop=2)
    place = place_of(sessions, changed, "Dr A", FoundAt(small_scan))
    session = session_at(place, changed, "Dr A", FoundAt(small_scan))
    assert not session.labels.values.any()
    assert f"has changed since session {begun.folder.name} began" in session.notes[0]
    assert not session.refusal
    session.close()


def test_the_same_file_of_which_something_else_is_stated_has_not_changed(begun, sessions, small_scan):
    changed = _change(small_scan)
    found_at = FoundAt(small_scan, Stated(series="2"))
    assert place_of(sessions, changed, "Dr A", found_at).read_only == ""


@pytest.mark.parametrize("typed", ["dr a", " Dr  A ", "DR\u00a0A"])
def test_a_reader_who_types_her_name_otherwise_is_the_same_reader(begun, sessions, small_scan, typed):
    scan, found_at, shelf = read_volume(small_scan), FoundAt(small_scan), Shelf(sessions, print)
    session = shelf.take(scan, typed, found_at)
    assert (session.is_read_only, session.is_of_another_reader, session.reader) == (False, False, "Dr A")
    session.sign()
    session.reopen()
    assert {event.reader for event in session.trail} == {"Dr A"}
    with pytest.raises(ValueError, match="has a session of this scan already"):
        shelf.take(scan, typed, found_at, beside=True)
    other = shelf.take(scan, "Dr B", found_at, beside=True)
    assert other_readings(other) == {begun.folder: "Dr A"}
    shelf.close()


def test_of_two_sessions_of_two_ways_to_type_a_name_each_is_found_again(begun, sessions, small_scan):
    scan, found_at, shelf = read_volume(small_scan), FoundAt(small_scan), Shelf(sessions, print)
    second = shelf.take(scan, "Dr B", found_at, beside=True)
    second.journal.remember({"reader": "dr a"})  # as earlier versions took it for another reader's
    shelf.close()
    assert place_of(sessions, scan, "Dr A", found_at).folder == begun.folder
    assert place_of(sessions, scan, "dr a", found_at).folder == second.folder
    assert place_of(sessions, scan, "DR A", found_at).folder == begun.folder
    assert other_readings(begun) == {}


@pytest.mark.parametrize("when", ["open", "closed", "with its folder"])
def test_what_was_stated_is_written_again(sessions, small_scan, when):
    scan, stated = read_volume(small_scan), Stated(spacing_mm=(0.7, 0.7, 5.0))
    found_at = FoundAt(small_scan, stated)
    session = session_at(place_of(sessions, scan, "Dr A", found_at), scan, "Dr A", found_at)
    if when == "closed":
        session.close()
    file = session.folder / "stated.json"
    if when == "with its folder":
        shutil.rmtree(session.folder)
        with pytest.raises(OSError, match="make it again"):
            session.mark_reviewed(1)
        assert kept_in(session.folder) == stated
    else:
        file.unlink()
    assert session.stated == stated
    assert changed_since(sessions, "Dr A", found_at) == session.folder
    session.close()
    again = ReviewSession.resume(session.folder, "Dr A")
    assert again.stated == stated
    again.close()
    assert kept_in(session.folder) == stated


def test_a_second_reader_reads_beside_the_first_and_comes_back_to_her_own(begun, sessions, small_scan):
    scan, found_at, told = read_volume(small_scan), FoundAt(small_scan), []
    shelf = Shelf(sessions, told.append)
    first = shelf.take(scan, "Dr B", found_at)
    assert first.folder == begun.folder
    second = shelf.take(scan, "Dr B", found_at, beside=True)
    assert second.folder.name == f"{begun.folder.name}-2"
    assert not second.labels.values.any()
    assert (first.begun_by, second.begun_by) == ("Dr A", "Dr B")
    assert other_readings(second) == {first.folder: "Dr A"}
    assert other_readings(first) == {second.folder: "Dr B"}
    hers = Shelf(sessions, told.append)
    hers.take(scan, "Dr A", found_at).mark_reviewed(1)
    hers.close()
    second.mark_reviewed(1)
    assert drain(agreement_with(reading_of(second), first.folder)).slices == (1,)
    shelf.close()
    assert shelf.take(scan, "Dr B", found_at).folder == second.folder
    assert shelf.take(scan, "Dr A", found_at).folder == first.folder
    with pytest.raises(ValueError, match="Dr B has a session of this scan already"):
        shelf.take(scan, "Dr B", found_at, beside=True)
    third = shelf.take(scan, "Dr C", found_at, beside=True)
    assert third.folder.name.endswith("-3")
    assert folders_of(sessions, scan, small_scan) == folders_beside(third.folder)
    shelf.close()


@pytest.mark.parametrize("is_signed", [False, True])
def test_another_readers_session_is_told_and_changed_by_nobody_else(begun, sessions, small_scan, is_signed):
    scan, found_at = read_volume(small_scan), FoundAt(small_scan)
    if is_signed:
        own = Shelf(sessions, print)
        own.take(scan, "Dr A", found_at).sign()
        own.close()
    before = {file.name: file.read_bytes() for file in begun.folder.iterdir()}
    shelf = Shelf(sessions, print)
    looked_at = shelf.take(scan, "Dr B", found_at)
    assert looked_at.labels.values[2].any()
    assert looked_at.notes == (looked_at.refusal,)
    assert looked_at.refusal.startswith("This is the reading of Dr A. ")
    for change in (looked_at.undo, looked_at.sign, looked_at.reopen, lambda: looked_at.mark_reviewed(1)):
        with pytest.raises(ValueError, match="press Second reading"):
            change()
    shelf.close()
    assert {name: (begun.folder / name).read_bytes() for name in before} == before
    own = Shelf(sessions, print).take(scan, "Dr A", found_at)
    assert not own.is_read_only
    own.close()


def test_another_readers_session_is_seen_as_it_stands_when_it_is_opened_again(begun, sessions, small_scan):
    scan, found_at, shelf = read_volume(small_scan), FoundAt(small_scan), Shelf(sessions, print)
    assert shelf.take(scan, "Dr B", found_at).reviewed == ()
    own = session_at(place_of(sessions, scan, "Dr A", found_at), scan, "Dr A", found_at)
    own.mark_reviewed(1)
    assert shelf.take(scan, "Dr B", found_at).reviewed == (1,)
    own.close()
    shelf.close()


def test_a_session_of_nobody_known_is_anybodys(begun, sessions, small_scan):
    own = ReviewSession.resume(begun.folder, "Dr A")
    own.journal.remember({"reader": None})
    own.close()
    assert place_of(sessions, read_volume(small_scan), "Dr B", FoundAt(small_scan)).read_only == ""


def test_a_scan_that_another_has_on_the_worklist_is_looked_at_until_a_second_reading_is_begun(
    sessions, small_scan, isolated_home
):
    scan, found_at, told = read_volume(small_scan), FoundAt(small_scan), []
    worklist, shelf = Worklist(small_scan.parent), Shelf(sessions, told.append)
    worklist.look()
    shelf.list_on(worklist)
    worklist.take(small_scan, "Dr A")
    looked_at = shelf.take(scan, "Dr B", found_at)
    assert looked_at.refusal.startswith("Dr A has this scan in review. ")
    assert looked_at.begun_by == "Dr A"
    assert not sessions.exists()
    own = shelf.take(scan, "Dr B", found_at, beside=True)
    for index in range(3):
        own.mark_reviewed(index)
    assert own.begun_by == "Dr B"
    assert told == [f"Dr A has {scan.name} in review; take another scan, or ask for this one."]
    shelf.let_go(own)
    assert not shelf.take(scan, "Dr B", found_at).is_read_only
    worklist.sign(small_scan, "Dr A")
    shelf.let_go(shelf.take(scan, "Dr B", found_at))
    shelf.take(scan, "Dr B", found_at)
    assert (worklist.entry(small_scan).state, worklist.entry(small_scan).reader) == ("signed", "Dr A")
    shelf.close()


def test_of_a_listed_scan_the_session_counts_whose_reader_has_it(begun, sessions, small_scan, isolated_home):
    scan, found_at, shelf = read_volume(small_scan), FoundAt(small_scan), Shelf(sessions, print)
    second = shelf.take(scan, "Dr B", found_at, beside=True)
    shelf.close()
    worklist = Worklist(small_scan.parent)
    worklist.look()
    assert listed_sessions(sessions, worklist) == (begun.folder, second.folder)
    worklist.take(small_scan, "Dr B")
    assert listed_sessions(sessions, worklist) == (second.folder,)
    worklist.reject(small_scan, "Dr B", "motion")
    assert listed_sessions(sessions, worklist) == ()
    worklist.close()


def test_nobody_reads_beside_nobody(sessions, small_scan):
    with pytest.raises(ValueError, match="Nobody has read"):
        Shelf(sessions, print).take(read_volume(small_scan), "Dr B", FoundAt(small_scan), beside=True)


def test_facts_are_told_without_opening_and_after_damage(begun):
    assert facts_in(begun.folder)["scan_sha256"] == begun.scan_sha256
    (begun.folder / "session.sqlite").write_bytes(b"SQL")
    assert facts_in(begun.folder)["scan_sha256"] == begun.scan_sha256
    assert facts_in(begun.folder.parent) == {}


def test_a_read_only_session_of_a_changed_scan_leaves_the_session_free(begun, sessions, small_scan):
    original = small_scan.read_bytes()
    changed = _change(small_scan)
    looking = session_at(place_of(sessions, changed, "Dr A", FoundAt(small_scan)), changed, "Dr A", FoundAt(small_scan))
    small_scan.write_bytes(original)
    writing = ReviewSession.begin(begun.folder, read_volume(small_scan), "Dr A")
    writing.mark_reviewed(0)
    writing.close()
    looking.close()


def test_a_scan_that_was_renamed_and_changed_later_leaves_its_session_read_only(begun, sessions, small_scan):
    renamed = small_scan.rename(small_scan.with_name("patient_7_ct.nii.gz"))
    own = Shelf(sessions, print)
    own.take(read_volume(renamed), "Dr A", FoundAt(renamed))
    own.close()
    changed = _change(renamed)
    session = own.take(changed, "Dr A", FoundAt(renamed))
    assert session.folder == begun.folder
    assert session.labels.values[2].any()
    assert session.refusal.startswith("patient_7_ct.nii.gz has changed on disk since this session began")
    own.close()
