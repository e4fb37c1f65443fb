"""The files of an open session are deleted, moved or replaced: no change is called saved that is on no disk."""

import itertools
import shutil
import tempfile
import time

import numpy as np
import pytest

from napari_covseg.review import ReviewSession, anchor, history, keeping
from napari_covseg.review.shelf import Shelf


def again(folder):
    return ReviewSession.resume(folder, "Dr A")


@pytest.fixture
def begun(session, paint):
    for index in range(4):
        paint(session, index, value=1 + index % 3)
    session.mark_reviewed(2)
    return session


def what_a_crash_leaves(session, place):
    shutil.copytree(session.folder, place)
    return again(place)


CHANGES = {
    "stroke": lambda session, paint: paint(session, 7),
    "undo": lambda session, paint: session.undo(),
    "mark": lambda session, paint: session.mark_reviewed(5),
    "signature": lambda session, paint: session.sign(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_deleted_folder_is_written_again_and_the_change_refused(begun, paint, tmp_path, change):
    values, trail, saved_at = begun.labels.values.copy(), begun.trail, begun.saved_at
    shutil.rmtree(begun.folder)
    with pytest.raises(OSError, match=r"were deleted while it was open; everything up to .* make it again"):
        CHANGES[change](begun, paint)
    assert (begun.trail, begun.saved_at, begun.signature) == (trail, saved_at, None)
    assert np.array_equal(begun.labels.values, values)
    found = what_a_crash_leaves(begun, tmp_path / "crashed")
    assert np.array_equal(found.labels.values, values)
    assert found.trail == trail
    assert not any("damaged" in note for note in found.notes)
    found.close()
    CHANGES[change](begun, paint)
    assert len(begun.trail) == len(trail) + 1
    values, signature = begun.labels.values.copy(), begun.signature
    begun.close()
    found = again(begun.folder)
    assert np.array_equal(found.labels.values, values)
    assert (found.notes, found.signature) == ((), signature)
    found.close()


def test_a_compacted_session_is_written_again_whole(session, paint, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "SNAPSHOT_AT_LAST_AFTER", 10)
    monkeypatch.setattr(history, "UNDO_STEPS", 3)
    for number in range(45):
        paint(session, number % 10, value=1 + number % 4, column=number % 5)
    values = session.labels.values.copy()
    shutil.rmtree(session.folder)
    with pytest.raises(OSError, match="make it again"):
        paint(session, 3, value=1, column=3)
    found = what_a_crash_leaves(session, tmp_path / "crashed")
    assert np.array_equal(found.labels.values, values)
    assert found.undo()
    found.close()


@pytest.mark.parametrize("name", ["session.sqlite", "session.sqlite-wal"])
def test_one_deleted_file_is_written_again(begun, paint, tmp_path, name):
    values = begun.labels.values.copy()
    (begun.folder / name).unlink()
    with pytest.raises(OSError, match="make it again"):
        paint(begun, 7)
    paint(begun, 8)
    found = what_a_crash_leaves(begun, tmp_path / "crashed")
    assert np.array_equal(found.labels.values[:8], values[:8])
    assert found.labels.values[8].any()
    assert len(found.trail) == 6
    found.close()


def test_a_folder_deleted_before_closing_is_written_again(begun):
    values = begun.labels.values.copy()
    shutil.rmtree(begun.folder)
    told = begun.close()
    assert told.startswith("Files of this session were deleted while it was open; everything up to ")
    assert told.endswith(f" was written again to {begun.folder}.")
    found = again(begun.folder)
    assert np.array_equal(found.labels.values, values)
    assert found.notes == ()
    found.close()


def test_in_a_moved_folder_nothing_is_changed_until_it_is_put_back(begun, paint, tmp_path):
    values, trail = begun.labels.values.copy(), begun.trail
    begun.folder.rename(tmp_path / "moved")
    for _ in range(2):
        with pytest.raises(OSError, match="put it back"):
            paint(begun, 7)
    assert not begun.folder.exists()
    assert np.array_equal(begun.labels.values, values)
    (tmp_path / "moved").rename(begun.folder)
    paint(begun, 8)
    assert len(begun.trail) == len(trail) + 1


def test_a_session_closed_after_its_folder_was_moved_is_whole_there(begun, tmp_path):
    values = begun.labels.values.copy()
    begun.folder.rename(tmp_path / "moved")
    assert "put it back" in begun.close()
    assert not begun.folder.exists()
    found = again(tmp_path / "moved")
    assert np.array_equal(found.labels.values, values)
    assert found.notes == ()
    found.close()


def test_what_was_done_is_kept_aside_where_another_session_was_put_in_its_place(
    begun, paint, left_by_a_crash, tmp_path
):
    yesterday = left_by_a_crash(begun)
    paint(begun, 6)
    values = begun.labels.values.copy()
    shutil.rmtree(begun.folder)
    shutil.copytree(yesterday, begun.folder)
    with pytest.raises(OSError, match="Another session was put in the place"):
        paint(begun, 7)
    assert "Open the scan again" in begun.refusal
    with pytest.raises(ValueError, match="Another session was put"):
        begun.sign()
    (aside,) = begun.folder.glob("displaced-*")
    assert str(aside) in begun.refusal
    found = again(aside)
    assert np.array_equal(found.labels.values, values)
    assert len(found.trail) == 6
    found.close()
    assert begun.close() == ""
    assert list(begun.folder.glob("displaced-*")) == [aside]
    found = again(begun.folder)
    assert len(found.trail) == 5
    found.close()


def test_where_it_cannot_be_written_again_the_reader_is_told_to_export(begun, paint):
    values = begun.labels.values.copy()
    shutil.rmtree(begun.folder)
    begun.folder.write_text("in the way")
    with pytest.raises(OSError, match=r"cannot be written .* Export the mask"):
        paint(begun, 7)
    assert np.array_equal(begun.labels.values, values)
    begun.folder.unlink()
    with pytest.raises(OSError, match="make it again"):
        paint(begun, 7)
    assert paint(begun, 7) is not None


def test_another_session_in_its_place_is_found_and_told_when_it_is_closed(begun, paint, left_by_a_crash):
    yesterday = left_by_a_crash(begun)
    paint(begun, 6)
    values = begun.labels.values.copy()
    shutil.rmtree(begun.folder)
    shutil.copytree(yesterday, begun.folder)
    told = []
    Shelf(begun.folder.parent, told.append).let_go(begun)
    (aside,) = begun.folder.glob("displaced-*")
    assert len(told) == 1
    assert str(aside) in told[0]
    found = again(aside)
    assert np.array_equal(found.labels.values, values)
    found.close()


def test_what_cannot_be_written_again_when_it_is_closed_is_kept_elsewhere(begun, tmp_path, monkeypatch):
    values = begun.labels.values.copy()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    shutil.rmtree(begun.folder)
    begun.folder.write_text("in the way")
    told = begun.close()
    (place,) = (tmp_path / "elsewhere").glob("covseg-*/*")
    assert "cannot be written" in told
    assert f"everything is kept in {place}." in told
    found = again(place)
    assert np.array_equal(found.labels.values, values)
    found.close()


@pytest.fixture
def drive_that_numbers_anew(monkeypatch):
    """A network drive on which a file has another inode whenever somebody looks, open or not."""
    drift, seen = itertools.count(1), anchor._identity

    def numbered(path):
        found = seen(path)
        return found and (found[0], found[1] + 1_000_000 * next(drift))

    monkeypatch.setattr(anchor, "_identity", numbered)


def test_files_that_a_drive_numbers_anew_are_here(drive_that_numbers_anew, begun, paint):
    paint(begun, 7)
    assert begun.undo()
    begun.sign()
    assert begun.close() == ""
    assert not list(begun.folder.glob("displaced-*"))
    found = again(begun.folder)
    assert (found.notes, len(found.trail)) == ((), 8)
    found.close()


def test_a_copy_to_the_byte_is_another_file_also_on_such_a_drive(
    drive_that_numbers_anew, begun, paint, left_by_a_crash
):
    copy, values = left_by_a_crash(begun), begun.labels.values.copy()
    shutil.rmtree(begun.folder)
    shutil.copytree(copy, begun.folder)
    with pytest.raises(OSError, match="Another session was put in the place"):
        paint(begun, 7)
    (aside,) = begun.folder.glob("displaced-*")
    found = again(aside)
    assert np.array_equal(found.labels.values, values)
    found.close()


def test_a_copy_of_the_log_is_another_log(begun, paint, tmp_path):
    log = begun.folder / "session.sqlite-wal"
    shutil.copyfile(log, tmp_path / "copy")
    log.unlink()
    shutil.copyfile(tmp_path / "copy", log)
    with pytest.raises(OSError, match="make it again"):
        paint(begun, 7)
    paint(begun, 8)
    values = begun.labels.values.copy()
    begun.close()
    found = again(begun.folder)
    assert np.array_equal(found.labels.values, values)
    assert len(found.trail) == 6
    found.close()


def test_a_drive_that_numbers_nothing_is_believed(monkeypatch, scan, folder, paint):
    def refused(path):
        raise PermissionError(path)

    monkeypatch.setattr(anchor, "_identity", refused)
    session = ReviewSession.begin(folder, scan, "Dr A")
    assert paint(session, 3) is not None
    assert session.close() == ""


def test_a_folder_out_of_reach_is_neither_moved_nor_deleted(begun, paint, tmp_path):
    begun.folder.rename(tmp_path / "away")
    begun.folder.symlink_to(begun.folder)  # whoever goes there goes round for ever
    with pytest.raises(OSError, match="cannot be reached, so the change was not made"):
        paint(begun, 7)
    begun.folder.unlink()
    (tmp_path / "away").rename(begun.folder)
    assert paint(begun, 7) is not None


def test_files_deleted_on_nfs_are_written_again(begun, paint):
    for number, file in enumerate(
        sorted(begun.folder.iterdir())
    ):  # its client keeps open ones so, and one link of each
        file.rename(begun.folder / f".nfs{number:012x}")
    with pytest.raises(OSError, match="were deleted while it was open"):
        paint(begun, 7)
    values = begun.labels.values.copy()
    paint(begun, 8)
    found = again(begun.folder) if begun.close() == "" else None
    assert np.array_equal(found.labels.values[:8], values[:8])
    found.close()


def test_looking_where_the_files_are_is_cheap(begun):
    started = time.perf_counter()
    for _ in range(1000):
        assert begun.journal.where == "here"
    assert time.perf_counter() - started < 0.5  # half a millisecond each, were the machine a hundred times slower


def test_a_deleted_log_that_cannot_be_folded_in_keeps_its_rows(tmp_path):
    from napari_covseg.review.journal import FILE_NAME, Journal

    journal = Journal(tmp_path / "session", "anna")
    for index in range(20):
        journal.append("mark", "anna", {"slice": index}, b"voxels")
    (tmp_path / "session" / f"{FILE_NAME}-wal").unlink()
    in_the_way = tmp_path / "session" / f"{FILE_NAME}.draft"
    in_the_way.mkdir()
    with pytest.raises(OSError, match="draft"):
        journal.fold_in()
    in_the_way.rmdir()
    journal.fold_in()
    journal.append("mark", "anna", {"slice": 20}, b"voxels")
    journal.close()
    assert len(Journal(tmp_path / "session", "anna").trail) == 21
