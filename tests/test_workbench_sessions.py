"""The bench and its sessions: what was damaged is said, readers read beside each other, the worklist follows."""

import getpass
import os

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.workbench import SegmentRequest, Workbench
from napari_covseg.workbench.source import stamp_of


@pytest.fixture
def make_bench(isolated_home):
    made = []

    def make(reader="Dr A"):
        bench = Workbench(reader)
        bench.told, bench.complaints = [], []
        bench.said.connect(bench.told.append)
        bench.complained.connect(bench.complaints.append)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench):
    return make_bench()


def _open(bench, path):
    bench.runner.wait(bench.open(path), 30)
    return bench.current


def _paint(session, index, value):
    values = session.labels.values.copy()
    values[index, 10:20, 10:20] = value
    session.absorb(values, "brush", "brush")


def test_a_second_window_is_told_who_has_the_session_and_changes_nothing(bench, make_bench, small_scan, untrained):
    _paint(_open(bench, small_scan).session, 1, 2)
    second = make_bench("Dr A")
    session = _open(second, small_scan).session
    assert session.labels.values[1].any()
    assert second.complaints[0].startswith("Dr A since ")
    with pytest.raises(ValueError, match="not changed"):
        second.segment(SegmentRequest(untrained, device="cpu"))
    _paint(bench.current.session, 2, 2)
    bench.close()
    session = _open(second, small_scan).session
    assert session.labels.values[2].any()
    session.mark_reviewed(1)
    assert session.reviewed == (1,)


def test_what_a_session_has_to_say_is_said_with_what_there_is_to_say_of_its_scan(bench, make_bench, small_scan):
    picture = nib.load(small_scan)
    noise = np.random.default_rng(0).integers(-1000, 300, picture.shape).astype(np.int16)
    nib.save(nib.Nifti1Image(noise, picture.affine), small_scan)
    opened = _open(bench, small_scan)
    assert opened.scan.notes
    _paint(opened.session, 1, 2)
    bench.close()
    file = opened.session.folder / "session.sqlite"
    file.write_bytes(file.read_bytes()[:5000])
    tomorrow = make_bench()
    opened = _open(tomorrow, small_scan)
    (said,) = tomorrow.complaints
    assert said == " ".join((*opened.session.notes, *opened.scan.notes))
    assert not any(note in told for told in tomorrow.told for note in opened.scan.notes)


def test_damage_is_complained_of_and_the_review_goes_on(bench, make_bench, small_scan):
    session = _open(bench, small_scan).session
    _paint(session, 1, 2)
    bench.close()
    file = session.folder / "session.sqlite"
    file.write_bytes(file.read_bytes()[:5000])
    tomorrow = make_bench()
    session = _open(tomorrow, small_scan).session
    assert "has been put together again" in tomorrow.complaints[0]
    assert session.labels.values[1].any()
    _paint(session, 2, 2)


def test_a_network_run_is_in_the_log_with_its_checkpoint(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    bench.runner.wait(bench.segment(SegmentRequest(untrained, scope="slice", device="cpu")), 120)
    detail = session.trail[-1].detail
    assert (detail["network"], detail["checkpoint"]) == ("res_att_unet", untrained.name)
    assert detail["checkpoint_sha256"] == untrained.sha256


def test_a_scan_that_changed_on_disk_is_complained_of_and_its_session_stays(bench, make_bench, small_scan):
    _paint(_open(bench, small_scan).session, 1, 2)
    bench.close()
    image = nib.load(small_scan)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj) + np.int16(7), image.affine), small_scan)
    tomorrow = make_bench()
    opened = _open(tomorrow, small_scan)
    assert "has changed on disk" in tomorrow.complaints[0]
    assert opened.session.is_read_only
    assert opened.session.labels.values[1].any()


def test_labels_of_a_scan_that_changed_on_disk_are_not_learned_nor_judged_on_the_new_voxels_and_exported_with_a_word(
    bench, make_bench, small_scan, untrained, tmp_path
):
    session = _open(bench, small_scan).session
    _paint(session, 1, 2)
    session.mark_reviewed(1)
    bench.close()
    image = nib.load(small_scan)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj) + np.int16(7), image.affine), small_scan)
    tomorrow = make_bench()
    assert _open(tomorrow, small_scan).session.reviewed == (1,)
    told = (
        f"{small_scan.name} has changed on disk since this session began; its labels and marks are those of the scan as"
    )
    for refused in (lambda: tomorrow.learning.finetune(untrained, steps=1, device="cpu"), tomorrow.check):
        with pytest.raises(ValueError, match=told):
            refused()
    tomorrow.complaints.clear()
    tomorrow.runner.wait(tomorrow.exports.mask(tmp_path), 30)
    assert tomorrow.complaints[0].startswith(told)


def test_a_second_reader_begins_a_session_beside_the_first(bench, make_bench, small_scan):
    first = _open(bench, small_scan).session
    _paint(first, 1, 2)
    bench.close()
    second = make_bench("Dr B")
    assert _open(second, small_scan).session.is_read_only
    assert second.complaints[0].startswith("This is the reading of Dr A. It can be looked at")
    second.runner.wait(second.second_reading(), 30)
    session = second.current.session
    assert session.begun_by == "Dr B"
    assert not session.labels.values.any()
    assert session.folder != first.folder
    second.close()
    again = make_bench("Dr B")
    assert _open(again, small_scan).session.folder == session.folder


def test_a_reader_says_who_she_is_for_what_is_opened_from_then_on(bench, make_bench, small_scan):
    first = _open(bench, small_scan).session
    said = []
    bench.said.connect(said.append)
    bench.read_as("  Dr \n B ")
    assert said == ["What is opened from now on is read by Dr B; this session stays Dr A's."]
    first.mark_reviewed(0)
    assert first.marks[0].reader == "Dr A"
    looked_at = _open(bench, small_scan).session
    assert looked_at is not first
    assert (looked_at.reader, looked_at.begun_by, looked_at.is_read_only) == ("Dr B", "Dr A", True)
    for name, onward in (
        ("Dr C", "this session stays Dr A's."),
        ("dr a", "open this scan again to go on with your reading of it."),
    ):
        bench.read_as(name)
        assert said[-1] == f"What is opened from now on is read by {name}; {onward}"
    again = _open(bench, small_scan).session
    again.mark_reviewed(1)
    assert {mark.reader for mark in again.marks.values()} == {"Dr A"}
    bench.read_as("Dr B")
    bench.close()
    assert make_bench("").reader == "Dr B"
    assert make_bench("Dr C").reader == "Dr C"  # for this window, not for tomorrow
    bench.read_as(" ")
    assert make_bench("").reader == getpass.getuser() == bench.reader


def test_looking_over_finds_what_is_odd(bench, small_scan):
    session = _open(bench, small_scan).session
    session.saw(2, 0.1)
    session.mark_reviewed(2)
    _paint(session, 3, 3)
    run = bench.check()
    found = []
    run.finished.connect(found.extend)
    bench.runner.wait(run, 60)
    assert {finding.kind for finding in found} >= {"hardly seen", "on one slice alone"}
    for finding in found:
        assert all(0 <= at < count for at, count in zip(finding.place, session.geometry.shape, strict=True))


def test_the_worklist_follows_what_the_reader_does(bench, small_scan, tmp_path):
    (tmp_path / "scans").mkdir()
    for name in ("a_ct.nii.gz", "b_ct.nii.gz"):
        (tmp_path / "scans" / name).write_bytes(small_scan.read_bytes())
    image = nib.load(small_scan)
    other = nib.Nifti1Image(np.asanyarray(image.dataobj) + np.int16(3), image.affine)
    nib.save(other, tmp_path / "scans" / "b_ct.nii.gz")
    with pytest.raises(ValueError, match="no worklist"):
        bench.open_next()
    listed = []
    bench.listed.connect(listed.append)
    bench.runner.wait(bench.list_scans(tmp_path / "scans"), 30)
    (worklist,) = listed
    assert [entry.state for entry in worklist.entries()] == ["new", "new"]
    bench.runner.wait(bench.open_next(), 30)
    assert bench.current.session.case == "a"
    bench.current.session.sign()
    bench.runner.wait(bench.open_next(), 30)
    assert bench.current.session.case == "b"
    assert [(e.state, e.reader) for e in worklist.entries()] == [("signed", "Dr A"), ("in review", "Dr A")]
    bench.current.session.sign()
    assert bench.open_next() is None
    assert "taken or done" in bench.told[-1]


@pytest.mark.parametrize("change", ["voxels", "only the time", "deleted"])
def test_a_scan_that_changes_on_disk_while_it_is_open_is_told_at_export_and_before_signing(
    bench, small_scan, tmp_path, change
):
    _paint(_open(bench, small_scan).session, 1, 2)
    if change == "voxels":
        image = nib.load(small_scan)
        hu = np.asanyarray(image.dataobj).copy()
        hu[0, 0, 0] += 1
        nib.save(nib.Nifti1Image(hu, image.affine), small_scan)
    elif change == "deleted":
        small_scan.unlink()
    else:
        os.utime(small_scan, (1, 1))
    for run in (bench.check(), bench.exports.mask(tmp_path)):
        bench.runner.wait(run, 30)
        assert run.over
    assert bench.exports.mask_path(tmp_path).exists()
    told = f"{small_scan.name} has changed on disk since it was opened"
    assert [each.startswith(told) for each in bench.complaints] == ([True, True] if change == "voxels" else [])


def test_a_dicom_folder_is_another_when_one_of_its_files_is(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"1")
    before = stamp_of(tmp_path)
    assert stamp_of(tmp_path) == before
    (tmp_path / "b").write_bytes(b"12")
    assert stamp_of(tmp_path) != before
    assert stamp_of(tmp_path / "c") == ()
