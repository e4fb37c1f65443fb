"""What a session says of its scan, its grid and its reader is vouched for by its log; the scan has the last word."""

import json
import sqlite3

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.export import export_nifti
from napari_covseg.review import ReviewSession
from napari_covseg.review.places import FoundAt, place_of, session_at
from napari_covseg.review.session_facts import ONLY_LOOKED_AT
from napari_covseg.volume import Volume


@pytest.fixture
def closed(session, paint):
    paint(session, 3, value=2)
    session.close()
    return session


def falsify(folder, key, change):
    connection = sqlite3.connect(folder / "session.sqlite", isolation_level=None)
    (value,) = connection.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
    connection.execute("UPDATE about SET value = ? WHERE key = ?", (json.dumps(change(json.loads(value))), key))
    connection.close()


def unsealed(folder):
    """Make it one of an earlier version, whose log vouches for nothing and which has no snapshot left."""
    connection = sqlite3.connect(folder / "session.sqlite", isolation_level=None)
    connection.execute("DELETE FROM event")
    connection.close()
    for file in (*folder.glob("labels-*"), folder / "session.head"):
        file.unlink()


def moved(grid):
    grid["affine"][0][3] += 50
    return grid


def flipped(grid):
    grid["affine"][2][2] *= -1
    return grid


def spaced(grid):
    grid["affine"][1][1] *= 1.5
    return grid


@pytest.mark.parametrize("change", [moved, flipped, spaced])
@pytest.mark.parametrize("with_scan", [True, False])
def test_another_grid_beside_the_log_moves_no_mask_and_is_told(closed, scan, tmp_path, change, with_scan):
    falsify(closed.folder, "grid", change)
    begin = ReviewSession.begin if with_scan else lambda folder, _, reader: ReviewSession.resume(folder, reader)
    for _ in range(2):
        found = begin(closed.folder, scan, "Dr A")
        assert "the grid of its scan was changed outside CovSeg" in " ".join(found.notes)
        assert "changed outside" in found.refusal
        with pytest.raises(ValueError, match="put a copy of its folder"):
            found.mark_reviewed(0)
        path = export_nifti(found.labels, found.home_geometry, "case", tmp_path, overwrite=True)
        found.close()
        mask = nib.load(path)
        assert np.allclose(mask.affine, scan.geometry.affine)
        assert np.count_nonzero(mask.dataobj) == 4


@pytest.mark.parametrize("change", [moved, flipped, spaced])
def test_where_an_older_log_vouches_for_nothing_the_scan_is_right(closed, scan, change):
    unsealed(closed.folder)
    falsify(closed.folder, "grid", change)
    found = ReviewSession.begin(closed.folder, scan, "Dr A")
    assert found.home_geometry.same_grid(scan.geometry)
    assert "the grid of its scan was changed" in found.refusal
    found.close()


@pytest.mark.parametrize("has_snapshots", [True, False])
def test_nobody_is_given_anothers_session(closed, has_snapshots):
    if not has_snapshots:
        for file in closed.folder.glob("labels-*"):
            file.unlink()
    falsify(closed.folder, "reader", lambda _: "Dr B")
    for reader in ("Dr A", "Dr B"):
        found = ReviewSession.resume(closed.folder, reader)
        assert found.begun_by == "Dr A"
        assert "who began it was changed outside CovSeg" in found.refusal
        assert found.refusal in found.notes
        found.close()


def test_another_fingerprint_is_told_at_resume(closed, scan):
    falsify(closed.folder, "scan_sha256", lambda _: "00")
    found = ReviewSession.resume(closed.folder, "Dr A", read_only=ONLY_LOOKED_AT)
    assert "the scan it belongs to was changed" in " ".join(found.notes)
    assert found.scan_sha256 == scan.sha256
    found.close()
    assert "the scan it belongs to was changed" in ReviewSession.resume(closed.folder, "Dr A").refusal


@pytest.mark.parametrize("name", ["../../evil_ct", "another_case_ct"])
def test_another_name_beside_the_log_sends_no_mask_elsewhere_and_is_told(closed, scan, tmp_path, name):
    falsify(closed.folder, "scan_name", lambda _: name)
    found = ReviewSession.begin(closed.folder, scan, "Dr A")
    assert (found.scan_name, found.case) == ("case_ct", "case")
    assert "what its scan is called was changed" in found.refusal
    found.close()
    found = ReviewSession.begin(tmp_path / "new", Volume(scan.hu, scan.geometry, name), "Dr A")
    assert "/" not in found.case
    found.close()


def test_every_signature_and_every_opening_vouches_for_the_beginning(closed):
    found = ReviewSession.resume(closed.folder, "Dr A")
    found.mark_reviewed(0)
    found.mark_reviewed(1)
    found.sign()
    found.close()
    vouching = [e.detail.get("begun") for e in found.trail]
    facts = {key: found.journal.about[key] for key in ("scan_sha256", "scan_name", "grid", "reader")}
    assert vouching == [facts, facts, None, facts]
    assert found.notes == ()


def test_an_older_session_that_vouches_for_nothing_goes_on_and_vouches_from_then_on(closed, scan, paint):
    unsealed(closed.folder)
    found = ReviewSession.begin(closed.folder, scan, "Dr A")
    (note,) = found.notes
    assert "nobody can tell whether anything was done in it" in note  # it looks like one of which all rows are gone
    paint(found, 2)
    found.close()
    falsify(closed.folder, "grid", moved)
    found = ReviewSession.resume(closed.folder, "Dr A")
    assert found.home_geometry.same_grid(scan.geometry)
    found.close()


def test_a_session_that_another_reader_looks_at_is_on_the_grid_of_the_scan(closed, scan, tmp_path):
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    folder = closed.folder.rename(sessions / f"{scan.name}-{scan.sha256[:8]}")
    unsealed(folder)
    falsify(folder, "grid", flipped)
    found_at = FoundAt(tmp_path / "case_ct.nii.gz")
    found = session_at(place_of(sessions, scan, "Dr B", found_at), scan, "Dr B", found_at)
    assert found.home_geometry.same_grid(scan.geometry)
    assert "the grid of its scan was changed" in " ".join(found.notes)
    found.close()
