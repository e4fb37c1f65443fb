"""A bundle: what training takes as it is, nothing that nobody reviewed, nobody's name."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from napari_covseg.export import bundle
from napari_covseg.export.bundle import NothingReviewedError, ReviewedScan, bundling, case_name
from napari_covseg.io import write_labels
from napari_covseg.io.case_listing import case_entries
from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.io.files import home
from napari_covseg.jobs import drain
from napari_covseg.review.signing import Mark
from napari_covseg.training.lesson import lesson_of_case
from napari_covseg.volume import LUNGS, Geometry, LabelMap, Volume, reoriented

KEY = b"k" * 32
LPS = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 40], [0, 0, 5.0, -50], [0, 0, 0, 1]])


def bundled(one, folder, **options):
    return drain(bundling(one, folder, **options))


@pytest.fixture
def session():
    """Six slices in the voxel order L P S, brighter to one corner; all of them labelled, two reviewed."""
    rng = np.random.default_rng(0)
    hu = np.full((40, 36, 6), -1000)
    hu[4:-4, 4:-4] = 40
    hu[8:-8, 8:-8] = -850
    hu = (hu + rng.integers(-20, 20, hu.shape)).astype(np.int16)
    scan = Volume(hu, Geometry(hu.shape, LPS), "Doe_John_ct")
    grid = scan.geometry.reading()
    labels = np.ones(grid.shape, np.uint8)
    labels[2, 3:9, 5:8] = 3
    return ReviewedScan(scan, LabelMap(labels, grid), (2, 4), scan.sha256)


def test_a_bundle_teaches_the_reviewed_slices_and_nothing_else(session, tmp_path):
    name = bundled(session, tmp_path, key=KEY)
    (case,) = find_cases([tmp_path])
    assert (case.name, case.slices, case.lung) == (name, (3, 5), None)
    assert case.annotated == {"ggo", "consolidation", "effusion"}
    scan, labels, _ = read_case(case)
    assert np.array_equal(scan.hu, reoriented(session.scan).hu)
    assert scan.geometry.same_grid(session.labels.geometry)
    assert np.array_equal(labels.values[[2, 4]], session.labels.values[[2, 4]])
    assert not np.delete(labels.values, [2, 4], axis=0).any()
    assert lesson_of_case(case).reviewed == (2, 4)


def test_lungs_that_are_known_are_in_it_on_reviewed_slices(session, tmp_path):
    lung = np.zeros(session.labels.values.shape, np.uint8)
    lung[:, 8:-8, 8:-8] = 1
    with_lung = replace(session, lung=LabelMap(lung, session.labels.geometry, LUNGS))
    bundled(with_lung, tmp_path, key=KEY)
    (case,) = find_cases([tmp_path])
    assert case.annotated == {"ggo", "consolidation", "effusion", "lung"}
    _, labels, found = read_case(case)
    assert np.array_equal(found.values[[2, 4]], lung[[2, 4]])
    assert not np.delete(found.values, [2, 4], axis=0).any()
    assert np.array_equal(labels.values[[2, 4]], session.labels.values[[2, 4]])
    bundled(session, tmp_path, key=KEY, overwrite=True)
    (without,) = find_cases([tmp_path])
    assert (without.lung, "lung" in without.annotated) == (None, False)


def test_lungs_of_another_grid_are_refused(session, tmp_path):
    lung = LabelMap(np.zeros((3, 4, 5), np.uint8), Geometry((3, 4, 5), np.eye(4)), LUNGS)
    with pytest.raises(ValueError, match="not on the grid"):
        bundled(replace(session, lung=lung), tmp_path, key=KEY)
    assert not list(tmp_path.iterdir())


def test_nothing_in_a_bundle_names_the_patient(session, tmp_path):
    bundled(session, tmp_path, key=KEY)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert not [path.name for path in files if "Doe" in path.name]
    assert not [path.name for path in files if b"Doe" in path.read_bytes() or b"John" in path.read_bytes()]
    entry = json.loads((tmp_path / "cases.json").read_text()).popitem()[1]
    assert entry["patient"].startswith("patient-")
    assert session.scan_sha256[:8] not in json.dumps(entry)
    assert case_name(session.scan_sha256, KEY) != case_name(session.scan_sha256, b"x" * 32)


def test_an_installation_names_a_scan_alike_every_time(session):
    first = case_name(session.scan_sha256)
    assert case_name(session.scan_sha256) == first
    assert (home() / "bundle.key").stat().st_mode & 0o077 == 0


def test_a_bundle_grows_and_replaces_only_on_purpose(session, tmp_path):
    other = Volume(session.scan.hu + np.int16(1), session.scan.geometry, "other")
    first = bundled(session, tmp_path, key=KEY)
    second = bundled(replace(session, scan=other, scan_sha256=other.sha256), tmp_path, key=KEY)
    assert {case.name for case in find_cases([tmp_path])} == {first, second}
    before = (tmp_path / f"{first}_lesion.nii.gz").read_bytes()
    fewer = replace(session, reviewed=(4,))
    with pytest.raises(FileExistsError, match="there already"):
        bundled(fewer, tmp_path, key=KEY)
    assert (tmp_path / f"{first}_lesion.nii.gz").read_bytes() == before
    bundled(fewer, tmp_path, key=KEY, overwrite=True)
    assert {case.name: case.slices for case in find_cases([tmp_path])}[first] == (5,)


def test_a_session_without_a_reviewed_slice_is_refused_before_anything_is_written(session, tmp_path):
    with pytest.raises(NothingReviewedError, match="marked reviewed"):
        bundled(replace(session, reviewed=()), tmp_path, key=KEY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_case_whose_writing_is_stopped_is_none(session, tmp_path, steps, replacing):
    other = Volume(session.scan.hu + np.int16(1), session.scan.geometry, "other")
    stays = bundled(replace(session, scan=other, scan_sha256=other.sha256), tmp_path, key=KEY)
    if replacing:
        bundled(replace(session, reviewed=(1,)), tmp_path, key=KEY)
    job = bundling(session, tmp_path, key=KEY, overwrite=replacing)
    for _ in range(steps):
        next(job)
    on_disk = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    killed = tmp_path / "killed"  # the folder as it is where the process ends here, without a chance to tidy up
    killed.mkdir()
    for name, content in on_disk.items():
        (killed / name).write_bytes(content)
    job.close()
    for folder in (tmp_path, killed):
        cases = {case.name: case.slices for case in find_cases([folder])}
        assert cases.pop(stays) == (3, 5)
        assert set(cases.values()) <= {(2,)}  # what stood there before, if it was not touched yet
    assert (len(cases) == 1) is (replacing and steps == 1)
    again = bundled(session, tmp_path, key=KEY, overwrite=replacing and steps == 1)
    assert {case.name: case.slices for case in find_cases([tmp_path])}[again] == (3, 5)


def test_a_case_that_reads_back_otherwise_is_not_left_there(session, tmp_path, monkeypatch):
    def spoilt(labels, path):
        values = labels.values.copy()
        values[values == 3] = 1
        return write_labels(labels.with_voxels(values, labels.geometry), path)

    monkeypatch.setattr(bundle, "write_labels", spoilt)
    with pytest.raises(OSError, match="differs from what was written"):
        bundled(session, tmp_path, key=KEY)
    assert [path.name for path in tmp_path.iterdir()] == ["cases.json"]


def test_it_tells_what_drew_on_the_slices_and_who_marked_them_when_and_names_nobody(session, tmp_path):
    then = datetime(2026, 11, 21, 9, 30, 5, 250000, UTC)
    marks = {4: Mark("Dr  Jane Roe", then), 2: Mark("dr jane roe", then), 3: Mark("Dr B", then)}
    with_lineage = replace(session, marks=marks, proposed_by=(("masc_net", "ab" * 32),))
    name = bundled(with_lineage, tmp_path, key=KEY)
    entry = case_entries(tmp_path)[name]
    assert [(one.network, one.checkpoint_sha256) for one in entry.proposed_by] == [("masc_net", "ab" * 32)]
    assert [(one.slice, one.time_utc) for one in entry.marks] == [
        (number, "2026-11-21T09:30:05+00:00") for number in (3, 4, 5)
    ]
    readers = [one.reader for one in entry.marks]
    assert readers[0] == readers[2] != readers[1]
    assert "roe" not in (tmp_path / "cases.json").read_text().lower()
    assert lesson_of_case(find_cases([tmp_path])[0]).reviewed == (2, 4)


@pytest.mark.parametrize("content", [b"{not json", b"[]", b'{"J\xf6rg": {}}'])
def test_a_listing_that_cannot_be_understood_is_kept(session, tmp_path, content):
    (tmp_path / "cases.json").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be understood"):
        bundled(session, tmp_path, key=KEY)
    assert (tmp_path / "cases.json").read_bytes() == content


def test_scans_that_state_one_patients_number_are_one_patients(session, tmp_path):
    of_one = replace(session.scan, patient_sha256="4711" * 16)
    later = replace(of_one, hu=of_one.hu + 1)
    for scan in (of_one, later, replace(session.scan, hu=session.scan.hu + 2)):
        bundled(replace(session, scan=scan, scan_sha256=scan.sha256), tmp_path, key=KEY)
    patients = sorted(entry["patient"] for entry in json.loads((tmp_path / "cases.json").read_text()).values())
    assert sorted(patients.count(each) for each in set(patients)) == [1, 2]
    assert "4711" * 4 not in "".join(patients)
