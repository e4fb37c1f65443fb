"""The application without its window: open, segment, correct, mark, learn, export, and again tomorrow."""

import gzip
import json
import shutil
import threading

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.inference import SliceDone
from napari_covseg.jobs import Remark
from napari_covseg.networks import lineage
from napari_covseg.training.loop import StepDone
from napari_covseg.workbench import SegmentRequest, Workbench


@pytest.fixture
def bench(isolated_home, short_rehearsal):
    bench = Workbench("Dr A")
    bench.complaints, bench.told = [], []
    bench.said.connect(bench.told.append)
    bench.complained.connect(bench.complaints.append)
    yield bench
    bench.close()


def _open(bench, path):
    bench.runner.wait(bench.open(path), 30)
    return bench.current


def _paint(session, index, value):
    values = session.labels.values.copy()
    values[index, 10:20, 10:20] = value
    session.absorb(values, "brush", "brush")


def test_opening_reads_off_the_home_thread_and_tells_on_it(bench, small_scan):
    threads = []
    bench.opened.connect(lambda opened: threads.append(threading.current_thread()))
    opened = _open(bench, small_scan)
    assert opened.scan.geometry.orientation == "IPL"
    assert opened.session.case == "small"
    assert threads == [threading.main_thread()]


def test_a_scan_that_cannot_be_read_is_a_complaint_and_the_open_one_stays(bench, small_scan, tmp_path):
    opened = _open(bench, small_scan)
    (tmp_path / "bad.nii.gz").write_bytes(b"rubbish")
    bench.runner.wait(bench.open(tmp_path / "bad.nii.gz"), 30)
    assert len(bench.complaints) == 1
    assert "bad.nii.gz" in bench.complaints[0]
    assert bench.current is opened


def test_what_the_system_refuses_is_told_in_one_sentence(bench, small_scan, tmp_path):
    _open(bench, small_scan)
    (tmp_path / "masks").write_text("a file where a folder should be")
    bench.runner.wait(bench.exports.mask(tmp_path / "masks"), 30)
    (complaint,) = bench.complaints
    assert complaint.endswith(f"{tmp_path / 'masks'} is a file and not a folder; choose another place.")


def test_segmenting_goes_from_the_slice_on_screen_outward_and_is_one_undo(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    run = bench.segment(SegmentRequest(untrained, centre=3, device="cpu"))
    order = []
    run.stepped.connect(lambda step: order.append(step.index) if isinstance(step, SliceDone) else None)
    bench.runner.wait(run, 120)
    assert order == [3, 2, 4, 1, 5, 0]
    assert session.labels.values.any()
    assert session.undo()
    assert not session.labels.values.any()


@pytest.mark.parametrize(
    ("request_fields", "expected"), [({"scope": "slice"}, {2}), ({"scope": "range", "first": 1, "last": 3}, {1, 2, 3})]
)
def test_only_the_slices_asked_for_are_segmented(bench, small_scan, untrained, request_fields, expected):
    _open(bench, small_scan)
    run = bench.segment(SegmentRequest(untrained, centre=2, device="cpu", **request_fields))
    seen = set()
    run.stepped.connect(lambda step: seen.add(step.index) if isinstance(step, SliceDone) else None)
    bench.runner.wait(run, 120)
    assert seen == expected


def test_a_network_never_paints_over_the_reader(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    _paint(session, 1, 4)
    _paint(session, 2, 4)
    session.mark_reviewed(2)
    bench.runner.wait(bench.segment(SegmentRequest(untrained, device="cpu")), 120)
    assert (session.labels.values[1, 10:20, 10:20] == 4).all()
    assert (session.labels.values[2, 10:20, 10:20] == 4).all()
    bench.runner.wait(bench.segment(SegmentRequest(untrained, device="cpu", over_corrections=True)), 120)
    assert not (session.labels.values[1] == 4).any()
    assert (session.labels.values[2, 10:20, 10:20] == 4).all()
    with pytest.raises(ValueError, match="reviewed or corrected"):
        bench.segment(SegmentRequest(untrained, scope="slice", centre=2, device="cpu"))


def _on_slice(run, index, act):
    """Act once the slice is taken in, as a reader does while the network goes on."""
    run.stepped.connect(lambda step: act() if isinstance(step, SliceDone) and step.index == index else None)


@pytest.mark.parametrize("request_fields", [{}, {"over_corrections": True}])
def test_what_the_reader_does_while_a_network_runs_stays(bench, small_scan, untrained, request_fields):
    session = _open(bench, small_scan).session
    _paint(session, 3, 4)
    run = bench.segment(SegmentRequest(untrained, centre=0, device="cpu", **request_fields))
    _on_slice(run, 0, lambda: (_paint(session, 4, 4), session.mark_reviewed(5)))
    if request_fields:
        _on_slice(run, 1, lambda: (session.undo(), _paint(session, 3, 2)))
    bench.runner.wait(run, 120)
    assert (session.labels.values[4, 10:20, 10:20] == 4).all() or request_fields
    assert (session.labels.values[3, 10:20, 10:20] == (2 if request_fields else 4)).all()
    assert 5 in session.marks
    assert not session.labels.values[5].any()
    assert any("meanwhile; " in said and "left what you did as it is" in said for said in bench.told)


def _replaced(folder):
    shutil.copytree(folder, folder.with_name("yesterday"))
    shutil.rmtree(folder)
    folder.with_name("yesterday").rename(folder)


DISPLACED = {
    "put it back": lambda folder: folder.rename(folder.parent.parent / "elsewhere"),
    "were deleted while it was open": shutil.rmtree,
    "Another session was put in the place": _replaced,
}


@pytest.mark.parametrize("told", DISPLACED)
def test_a_network_that_can_no_longer_be_written_down_is_stopped_and_said_once(bench, small_scan, untrained, told):
    session = _open(bench, small_scan).session
    run = bench.segment(SegmentRequest(untrained, centre=0, device="cpu"))
    _on_slice(run, 1, lambda: DISPLACED[told](session.folder))
    bench.runner.wait(run, 120)
    assert run.is_cancelling
    assert len([said for said in bench.complaints if told in said]) == len(bench.complaints) == 1
    assert session.labels.values[1].any()
    assert not session.labels.values[2].any()


def test_the_rest_that_can_no_longer_be_written_down_is_complained_of_and_nothing_changed(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    run = bench.learning.segment_rest(untrained, device="cpu")
    _on_slice(run, 1, lambda: DISPLACED["put it back"](session.folder))
    bench.runner.wait(run, 120)
    assert len([said for said in bench.complaints if "put it back" in said]) == 1
    assert not session.labels.values.any()


def test_undoing_what_a_network_draws_stops_it(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    run = bench.segment(SegmentRequest(untrained, centre=0, device="cpu"))
    _on_slice(run, 2, bench.undo)
    ends = []
    run.cancelled.connect(lambda: ends.append("cancelled"))
    bench.runner.wait(run, 120)
    assert ends == ["cancelled"]
    assert not session.labels.values.any()
    assert any("The network was stopped" in said for said in bench.told)


def test_a_cancelled_run_keeps_what_was_finished(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    run = bench.segment(SegmentRequest(untrained, device="cpu"))
    run.stepped.connect(lambda step: run.cancel() if isinstance(step, SliceDone) else None)
    ends = []
    run.cancelled.connect(lambda: ends.append("cancelled"))
    run.finished.connect(lambda result: ends.append("finished"))
    bench.runner.wait(run, 120)
    assert ends == ["cancelled"]
    assert session.labels.values[0].any()
    assert not session.labels.values[5].any()


def test_a_second_scan_opened_meanwhile_takes_nothing_from_the_first(bench, small_scan, untrained, tmp_path):
    image = nib.load(small_scan)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj) + 7, image.affine), tmp_path / "second_ct.nii.gz")
    first = _open(bench, small_scan)
    run = bench.segment(SegmentRequest(untrained, device="cpu"))
    opening = bench.open(tmp_path / "second_ct.nii.gz")
    bench.runner.wait(opening, 120)
    assert run.over
    assert bench.current.session.case == "second"
    assert not bench.current.session.labels.values.any()
    again = _open(bench, small_scan)
    assert again.session.labels.values.any()
    assert again.session.folder == first.session.folder


def test_learning_needs_a_reviewed_slice(bench, small_scan, untrained):
    _open(bench, small_scan)
    with pytest.raises(ValueError, match="mark at least one"):
        bench.learning.finetune(untrained)


def test_learning_gives_a_child_that_can_be_chosen_and_leaves_the_parent(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    for index in (2, 3):
        _paint(session, index, 2)
        session.mark_reviewed(index)
    before = untrained.path.read_bytes()
    learned, losses = [], []
    bench.learned.connect(learned.append)
    run = bench.learning.finetune(untrained, steps=3, device="cpu")
    run.stepped.connect(lambda step: losses.append(step.loss) if isinstance(step, StepDone) else None)
    bench.runner.wait(run, 180)
    (child,) = learned
    assert len(losses) == 3
    assert child.card.parent_sha256 == untrained.sha256
    assert child.card.scans_sha256 == (session.scan_sha256,)
    assert set(child.card.metrics["on_the_learned_slices"]) == {"before", "after"}
    assert untrained.path.read_bytes() == before
    assert [c.name for c in bench.choice.known("res_att_unet") if not c.is_shipped] == [child.name, untrained.name]


def test_a_run_of_learning_can_be_wrapped_up_and_the_verdict_overruled_with_a_reason(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    _paint(session, 2, 2)
    session.mark_reviewed(2)
    learned = []
    bench.learned.connect(learned.append)
    run = bench.learning.finetune(untrained, steps=500, device="cpu")
    run.stepped.connect(lambda step: run.wrap_up() if isinstance(step, StepDone) else None)
    bench.runner.wait(run, 300)
    (child,) = learned
    family = {branch.checkpoint.name: (branch.depth, branch.promoted) for branch in bench.choice.family("res_att_unet")}
    assert family[untrained.name] == (0, True)
    assert family[child.name] == (1, False)
    with pytest.raises(ValueError, match="why"):
        bench.choice.promote(child, bench.reader)
    assert bench.choice.checkpoint != child
    bench.choice.promote(child, bench.reader, "it finds the nodule")
    assert bench.choice.checkpoint == child
    assert {branch.checkpoint.name: branch.promoted for branch in bench.choice.family("res_att_unet")}[child.name]
    assert Workbench("Dr A", bench.folder).choice.checkpoint == child  # on another day
    bench.choice.take("res_att_unet", untrained)
    assert bench.choice.checkpoint == untrained
    child.path.unlink()
    assert Workbench("Dr A", bench.folder).choice.checkpoint == untrained


def test_while_it_learns_or_rests_a_mask_is_exported_and_another_scan_is_opened(bench, small_scan, untrained, tmp_path):
    first = _open(bench, small_scan)
    _paint(first.session, 2, 2)
    first.session.mark_reviewed(2)
    learned = []
    bench.learned.connect(learned.append)
    run = bench.learning.finetune(untrained, steps=30, device="cpu")
    run.pause()
    mask = bench.exports.mask(tmp_path / "masks")
    bench.runner.wait(mask, 60)
    run.go_on()
    other = tmp_path / "other.nii.gz"
    shutil.copy(small_scan, other)
    second = _open(bench, other)
    assert second.scan.name == "other"
    assert not run.over
    third = tmp_path / "third.nii.gz"
    shutil.copy(small_scan, third)
    assert _open(bench, third).scan.name == "third"
    assert second.session not in bench._on_bench  # neither on screen nor needed
    assert first.session in bench._on_bench
    run.wrap_up()
    bench.runner.wait(run, 300)
    assert bench.current.scan.name == "third"
    assert list(bench._on_bench) == [bench.current.session]
    assert learned[0].card.scans_sha256 == (first.session.scan_sha256,)
    assert not bench.complaints


def test_learning_that_was_stopped_goes_on_while_the_corrections_are_the_same(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    _paint(session, 2, 2)
    session.mark_reviewed(2)
    assert not bench.learning.can_resume(untrained)
    run = bench.learning.finetune(untrained, steps=5, device="cpu")
    run.stepped.connect(lambda step: run.cancel() if isinstance(step, StepDone) else None)
    bench.runner.wait(run, 300)
    assert bench.learning.can_resume(untrained)
    ((out, about),) = lineage.unfinished(session.scan_sha256, bench.folder).items()
    assert about["config"]["steps"] == 5
    learned = []
    bench.learned.connect(learned.append)
    bench.runner.wait(bench.learning.finetune(untrained, device="cpu", resume=True), 300)
    assert [child.path for child in learned] == [out]
    assert learned[0].card.config["steps"] == 5
    assert not bench.learning.can_resume(untrained)
    out.with_name(f"{out.name}{lineage.RUN_ENDING}").write_text(json.dumps(about))  # killed when all was done
    assert not bench.learning.can_resume(untrained)
    assert not list(out.parent.glob("*.state"))


def test_a_stopped_run_goes_on_with_the_slices_it_began_with_whatever_was_reviewed_since(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    _paint(session, 2, 2)
    session.mark_reviewed(2)
    learned = []
    bench.learned.connect(learned.append)
    run = bench.learning.finetune(untrained, steps=3, device="cpu")
    session.mark_reviewed(4)
    run.stepped.connect(lambda step: run.cancel() if isinstance(step, StepDone) else None)
    bench.runner.wait(run, 300)
    session.mark_reviewed(5)
    assert bench.learning.can_resume(untrained)
    bench.runner.wait(bench.learning.finetune(untrained, device="cpu", resume=True), 300)
    (child,) = learned
    assert child.card.learned[bench.current.scan.voxels_sha256].taught == (3,)
    until = lineage.learned_until(child)
    assert [index for index, mark in session.marks.items() if mark.time_utc.isoformat() > until] == [4, 5]


def test_a_stopped_run_whose_slices_changed_meanwhile_says_that_it_cannot_go_on(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    session.mark_reviewed(2)
    session.mark_reviewed(4)
    told = []
    bench.said.connect(told.append)
    run = bench.learning.finetune(untrained, steps=5, device="cpu")
    _paint(session, 2, 2)
    session.mark_reviewed(2)
    run.stepped.connect(lambda step: run.cancel() if isinstance(step, StepDone) else None)
    bench.runner.wait(run, 300)
    assert told[-1].endswith(
        "it cannot be gone on with, since slices that it began with were changed or are no longer marked."
    )
    assert not bench.learning.can_resume(untrained)


@pytest.mark.parametrize(
    ("at", "said", "kept"), [(StepDone, "what it learned is kept", True), (object, "it had learned nothing yet", False)]
)
def test_a_stopped_run_is_gone_on_with_where_it_learned_something(bench, small_scan, untrained, at, said, kept):
    session = _open(bench, small_scan).session
    session.mark_reviewed(2)
    told = []
    bench.said.connect(told.append)
    run = bench.learning.finetune(untrained, steps=5, device="cpu")
    run.stepped.connect(lambda step: run.cancel() if isinstance(step, at) else None)
    bench.runner.wait(run, 300)
    assert told[-1].startswith(f"Learning from your corrections of {small_scan.name.split('.')[0]}: stopped; {said}")
    assert bench.learning.can_resume(untrained) is kept
    folder = bench.folder / "checkpoints"
    assert bool(list(folder.glob("*.state"))) is kept
    if kept:
        steps = []
        run = bench.learning.finetune(untrained, device="cpu", resume=True)
        run.stepped.connect(lambda step: steps.append(step.step) if isinstance(step, StepDone) else None)
        bench.runner.wait(run, 300)
        assert steps[0] > 1


@pytest.mark.parametrize("about", ['{"scans_sha256": ["SCAN"]}', '{"scans_sha256": ["SCAN"], "config": 1}', "[1]"])
def test_what_another_version_left_of_a_run_is_none_to_go_on_with(bench, small_scan, untrained, about):
    session = _open(bench, small_scan).session
    session.mark_reviewed(2)
    left = bench.folder / "checkpoints" / "child.safetensors.run.json"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text(about.replace("SCAN", session.scan_sha256))
    assert not bench.learning.can_resume(untrained)


@pytest.mark.parametrize("by", ["other settings", "damage"])
def test_what_cannot_be_gone_on_with_is_dropped_and_learned_anew(bench, small_scan, untrained, by):
    """The panel offers it, knowing no more than whose it is; a reader who takes it gets her child all the same."""
    session = _open(bench, small_scan).session
    session.mark_reviewed(2)
    run = bench.learning.finetune(untrained, steps=3, device="cpu")
    run.stepped.connect(lambda step: run.cancel() if isinstance(step, StepDone) else None)
    bench.runner.wait(run, 300)
    ((out, about),) = lineage.unfinished(session.scan_sha256, bench.folder).items()
    if by == "damage":
        (state,) = out.parent.glob("*.state")
        state.write_bytes(state.read_bytes()[:-9])
    else:
        left = out.with_name(f"{out.name}{lineage.RUN_ENDING}")
        left.write_text(json.dumps({**about, "config": {**about["config"], "learning_rate": 1.0}}))
    learned, steps = [], []
    bench.learned.connect(learned.append)
    run = bench.learning.finetune(untrained, device="cpu", resume=True)
    run.stepped.connect(steps.append)
    bench.runner.wait(run, 300)
    assert [child.path for child in learned] == [out]
    assert any(isinstance(step, Remark) and "is dropped" in step.words for step in steps)
    assert [step.step for step in steps if isinstance(step, StepDone)] == [1, 2, 3]


def test_what_a_stopped_run_left_is_removed_by_the_next(bench, small_scan, untrained):
    session = _open(bench, small_scan).session
    _paint(session, 2, 2)
    session.mark_reviewed(2)
    run = bench.learning.finetune(untrained, steps=5, device="cpu")
    run.stepped.connect(lambda step: run.cancel() if isinstance(step, StepDone) else None)
    bench.runner.wait(run, 300)
    session.unmark(2)
    session.mark_reviewed(4)
    assert not bench.learning.can_resume(untrained)
    assert len(lineage.unfinished(session.scan_sha256, bench.folder)) == 1
    bench.runner.wait(bench.learning.finetune(untrained, steps=1, device="cpu"), 300)
    assert not lineage.unfinished(session.scan_sha256, bench.folder)


def test_only_reviewed_slices_are_learned(bench, small_scan, untrained):
    from napari_covseg.networks import load
    from napari_covseg.training.lesson import Lesson, stack_of_lesson
    from napari_covseg.training.stacks import IGNORED

    opened = _open(bench, small_scan)
    _paint(opened.session, 0, 1)
    _paint(opened.session, 2, 2)
    opened.session.mark_reviewed(2)
    lesson = Lesson(opened.scan, opened.session.labels, opened.session.reviewed, "sha")
    alone = stack_of_lesson(lesson, load("res_att_unet"))
    assert alone.labels.shape[0] == 1
    assert set(np.unique(alone.labels)) == {0, 2}
    in_context = stack_of_lesson(lesson, load("covid_segnet"))
    assert set(np.unique(in_context.labels[2])) == {0, 2}
    assert (np.delete(in_context.labels, 2, axis=0) == IGNORED).all()


def test_the_export_is_on_the_scans_own_grid_to_the_bit(bench, small_scan, tmp_path):
    session = _open(bench, small_scan).session
    values = session.labels.values.copy()
    values[0, 40:50, 3:9] = 3  # apex, dorsal, patient's right
    session.absorb(values, "brush", "brush")
    run = bench.exports.mask(tmp_path / "out")
    exported = []
    bench.exported.connect(exported.append)
    bench.runner.wait(run, 30)
    assert exported == [tmp_path / "out" / "small_lesion.nii.gz"]
    mask, scan = nib.load(exported[0]), nib.load(small_scan)
    assert np.array_equal(mask.affine, scan.affine)
    assert mask.shape == scan.shape
    assert mask.get_data_dtype() == np.uint8
    places_mm = nib.affines.apply_affine(mask.affine, np.argwhere(np.asanyarray(mask.dataobj) == 3))
    assert (places_mm[:, 2] == 25).all()  # the uppermost slice
    assert places_mm[:, 0].max() == pytest.approx(-2.1, abs=1e-4)
    assert places_mm[:, 1].max() == pytest.approx(-28, abs=1e-4)


def test_a_mask_that_is_there_already_is_kept_unless_it_is_to_be_replaced(bench, small_scan, tmp_path):
    _paint(_open(bench, small_scan).session, 1, 2)
    reference = tmp_path / "small_lesion.nii.gz"
    reference.write_bytes(b"somebody's work")
    bench.runner.wait(bench.exports.mask(tmp_path), 30)
    assert reference.read_bytes() == b"somebody's work"
    assert "is there already" in bench.complaints[0]
    bench.runner.wait(bench.exports.mask(tmp_path, overwrite=True), 30)
    assert (nib.load(reference).get_fdata() == 2).any()


def test_the_session_is_there_again_tomorrow(isolated_home, small_scan):
    today = Workbench("Dr A")
    session = _open(today, small_scan).session
    _paint(session, 1, 2)
    session.mark_reviewed(1)
    values = session.labels.values.copy()
    today.close()
    tomorrow = Workbench("Dr A")
    session = _open(tomorrow, small_scan).session
    assert np.array_equal(session.labels.values, values)
    assert session.reviewed == (1,)
    tomorrow.close()


def test_a_moved_scan_finds_its_session(bench, small_scan, tmp_path):
    _paint(_open(bench, small_scan).session, 1, 2)
    moved = tmp_path / "elsewhere" / small_scan.name
    moved.parent.mkdir()
    small_scan.rename(moved)
    assert _open(bench, moved).session.labels.values[1].any()


def test_cli_and_workbench_write_identical_bytes(bench, small_scan, untrained, tmp_path):
    """The same job both ways; also checks that a mask's bytes carry neither its file's name nor the time."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "napari_covseg", "segment", str(small_scan), "--network", "res_att_unet"]
    options = ["--checkpoint", untrained.name, "--device", "cpu", "--out", str(tmp_path / "cli")]
    subprocess.run([*command, *options], check=True, capture_output=True)
    _open(bench, small_scan)
    bench.runner.wait(bench.segment(SegmentRequest(untrained, centre=4, device="cpu")), 120)
    bench.runner.wait(bench.exports.mask(tmp_path / "bench"), 30)
    by_cli = (tmp_path / "cli" / "small_ct_res_att_unet_lesion.nii.gz").read_bytes()
    by_bench = (tmp_path / "bench" / "small_lesion.nii.gz").read_bytes()
    assert gzip.decompress(by_cli)[352:].strip(b"\0")  # something was found
    assert by_cli == by_bench


def test_cli_and_workbench_write_the_same_cases(bench, small_scan, tmp_path):
    import subprocess
    import sys

    session = _open(bench, small_scan).session
    _paint(session, 1, 2)
    session.mark_reviewed(1)
    bench.runner.wait(bench.exports.bundle(tmp_path / "bench"), 30)
    command = [sys.executable, "-m", "napari_covseg", "export", str(session.folder), "--to", "bundle"]
    subprocess.run([*command, "--out", str(tmp_path / "cli")], check=True, capture_output=True)
    by_cli, by_bench = ({p.name: p.read_bytes() for p in (tmp_path / one).iterdir()} for one in ("cli", "bench"))
    assert len(by_cli) == 3
    assert by_cli == by_bench
