"""Rehearsal: bounded, and nobody who is asked about is rehearsed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.io.packing import packed
from napari_covseg.io.pseudonyms import pseudonym
from napari_covseg.jobs import Remark, drain
from napari_covseg.networks import load
from napari_covseg.training import rehearsal as room
from napari_covseg.training.neighbourhoods import NEIGHBOUR_MM
from napari_covseg.training.rehearsal import OF_BEFORE, rehearsal, synthetic_sample
from napari_covseg.training.stacks import IGNORED
from napari_covseg.volume import Geometry, LabelMap

KINDS = frozenset({"ggo", "consolidation"})
SLICES, PATCHES = load("res_att_unet"), load("covid_segnet")


@pytest.fixture
def many(tmp_path, write_picture):
    rng = np.random.default_rng(0)
    for patient in range(4):
        for number in range(30):
            labels = np.zeros((24, 24), np.uint8)
            labels[8:12, 8:12] = 4
            entry = {"patient": f"p{patient}", "annotated": ["infection"]}
            write_picture(
                tmp_path / "many", f"p{patient}-{number:02d}", rng.integers(0, 255, (24, 24)), labels, **entry
            )
    return find_cases([tmp_path / "many"])


def test_no_patient_is_on_both_sides_and_neither_is_large(many):
    found = drain(rehearsal(many, SLICES))
    rehearsed, asked = {s.patient for s in found.rehearsed}, {lesson.scan_sha256[:2] for lesson in found.asked}
    assert (rehearsed, asked) == ({"p0", "p2"}, {"p1", "p3"})
    assert sum(len(stack.grey) for stack in found.rehearsed) <= room.REHEARSED
    assert 0 < sum(len(lesson.reviewed) for lesson in found.asked) <= room.MOST_CASES
    assert {lesson.scan_sha256[:2] for lesson in found.recalled} <= rehearsed
    assert all(OF_BEFORE in stack.annotated for stack in found.rehearsed)


def test_what_is_recalled_shows_every_kind_of_annotation_that_is_rehearsed(many, tmp_path, write_picture):
    labels = np.zeros((24, 24), np.uint8)
    labels[8:12, 8:12] = 2
    for number in range(2):
        entry = {"patient": f"q{number}", "annotated": ["ggo", "consolidation"]}
        write_picture(tmp_path / "kinds", f"q{number}", np.full((24, 24), 9 + number), labels, **entry)
    found = drain(rehearsal((*many, *find_cases([tmp_path / "kinds"])), SLICES))
    assert len(found.recalled) == room.RECALLED
    kinds = {stack.annotated - {OF_BEFORE} for stack in found.rehearsed}
    assert {lesson.annotated for lesson in found.recalled} == kinds == {frozenset({"infection"}), KINDS}


@pytest.mark.parametrize("spec", [SLICES, PATCHES])
def test_a_lone_patient_is_halved_and_no_slice_is_on_both_sides(spec):
    found = drain(rehearsal(synthetic_sample(), spec))
    (stack,), (lesson,) = found.rehearsed, found.asked
    if spec is PATCHES:
        learned = np.flatnonzero((stack.labels != IGNORED).any(axis=(1, 2))).tolist()
        assert max(learned) + 2 <= min(lesson.reviewed)
        assert np.ptp(lesson.reviewed) < 3 * len(lesson.reviewed)
    (recalled,) = found.recalled
    assert max(recalled.reviewed) + 2 <= min(lesson.reviewed)
    assert len(lesson.reviewed) <= room.ASKED
    assert all((lesson.labels.values[k] > 0).any() for k in lesson.reviewed)


@pytest.mark.parametrize(("slices", "rehearsed", "asked"), [([2, 3], 0, 2), ([1, 2, 3, 4], 1, 1)])
def test_a_few_slices_of_a_lone_patient_are_asked_about(slices, rehearsed, asked, cases):
    (case,) = [replace(one, slices=tuple(slices)) for one in find_cases([cases]) if one.name == "m1"]
    found = drain(rehearsal([case], SLICES))
    assert sum(len(stack.grey) for stack in found.rehearsed) == rehearsed
    assert sum(len(lesson.reviewed) for lesson in found.asked) == asked


@pytest.mark.parametrize(("spacing_mm", "apart"), [(1.0, 11), (2.5, 5), (5.0, 3), (10.0, 3)])
def test_the_halves_of_a_lone_patient_are_further_apart_than_neighbours_are(spacing_mm, apart):
    upper, lower = room._halves(range(40), spacing_mm)
    assert lower[0] - upper[-1] == apart
    assert apart * spacing_mm > NEIGHBOUR_MM
    assert room._halves(range(8), 1.0) == ((), range(8))


def test_a_case_of_a_patient_whose_other_scan_is_learned_is_neither_rehearsed_nor_asked_about(cases):
    told = []
    found = drain(rehearsal(find_cases([cases]), SLICES, patients={pseudonym("patient", "m1")}), told.append)
    assert {stack.case for stack in found.rehearsed} | {one.scan_sha256 for one in found.asked} == {
        "e1",
        "c1-1",
        "c1-2",
    }
    assert [step.words for step in told if isinstance(step, Remark)] == [
        "m1 is left out of the older cases: what is learned now is of the same patient."
    ]


def test_what_is_doubtful_about_an_older_case_is_told(cases, write_picture):
    labels = np.zeros((24, 24))
    labels[2:8, 2:8], labels[12:16, 2:8] = 1, 7
    write_picture(cases, "d1", np.zeros((24, 24)), labels, patient="d1", annotated=["ggo"])
    told = []
    drain(rehearsal(find_cases([cases]), SLICES), told.append)
    said = [step.words for step in told if isinstance(step, Remark)]
    assert [words for words in said if words.startswith("d1_label.png also holds 7")] == said


@pytest.mark.parametrize("number", [0, 5])
def test_a_slice_that_there_is_not_is_refused(number, cases):
    (case,) = [replace(one, slices=(1, number)) for one in find_cases([cases]) if one.name == "m1"]
    with pytest.raises(ValueError, match="slices of m1 beyond its 4"):
        drain(rehearsal([case], SLICES))


def test_without_cases_there_is_nothing_to_rehearse():
    found = drain(rehearsal((), SLICES))
    assert (found.rehearsed, found.recalled, found.asked) == ((), (), ())


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_every_class_of_a_case_is_among_the_few_slices_that_are_taken(count):
    values = np.zeros((30, 4, 4), np.uint8)
    values[2:28, 0], values[20:23, 1] = 1, 2
    labels = LabelMap(values, Geometry(values.shape, np.diag([5.0, 1, 1, 1])))
    kept = room._spread(labels, range(30), count, together=False)
    assert len(kept) == len(set(kept)) == count
    assert sum(20 <= k < 23 for k in kept) >= min(count // 2, 1)
    assert all(2 <= k < 28 for k in kept)
    assert any(k < 20 for k in kept)


def test_a_scan_that_is_being_learned_is_left_out_in_every_copy_and_that_is_told(cases):
    among = find_cases([cases])
    scans = {one.name for one in among if not one.is_picture}  # two patients' by name, one scan
    same = read_case(next(one for one in among if not one.is_picture))[0]
    told = []
    found = drain(rehearsal(among, SLICES, [same]), told.append)
    remarks = [each.words for each in told if isinstance(each, Remark)]
    assert {words.split(" is left out of the older cases")[0] for words in remarks} == scans
    used = {s.patient for s in found.rehearsed} | {lesson.scan_sha256 for lesson in (*found.asked, *found.recalled)}
    assert used
    assert not any(name.startswith(tuple(scans)) for name in used)


@pytest.mark.parametrize("change", ["one slice fewer", "one voxel more"])
@pytest.mark.parametrize("held_in", ["folder", "pack", "an old pack"])
def test_a_scan_that_is_being_learned_is_known_when_it_was_cut_or_changed(change, held_in, corrected, tmp_path):
    folder, scan = corrected
    hu = scan.hu[:-1].copy() if change == "one slice fewer" else scan.hu.copy()
    hu[2, 3, 3] += 0 if change == "one slice fewer" else 100
    copy = scan.with_voxels(hu, replace(scan.geometry, shape=hu.shape))
    place = folder if held_in == "folder" else drain(packed(find_cases([folder]), tmp_path / "both.npz")).path
    place = without_fingerprints(place, tmp_path / "old.npz") if held_in == "an old pack" else place
    used, words = used_and_told(place, copy)
    assert used == {"small"}
    assert "large is left out of the older cases" in words


@pytest.mark.parametrize("held_in", ["folder", "pack", "an old pack"])
def test_scans_that_share_air_alone_are_two(held_in, tmp_path, write_case):
    rng = np.random.default_rng(0)
    for name in ("one", "other"):
        hu = rng.integers(-900, 400, (6, 40, 40))
        hu[[0, 5]] = -1000
        write_case(tmp_path / name, name, hu, np.uint8(hu > 200), patient=name)
    scan = read_case(find_cases([tmp_path / "one"])[0])[0]
    place = tmp_path / "other"
    place = place if held_in == "folder" else drain(packed(find_cases([place]), tmp_path / "other.npz")).path
    place = without_fingerprints(place, tmp_path / "old.npz") if held_in == "an old pack" else place
    used, words = used_and_told(place, scan)
    assert used == {"other"}
    assert "left out" not in words


@pytest.fixture
def corrected(tmp_path, write_case):
    """A folder of a large scan, which is corrected, and a small one of another patient; and the large one as it is."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "two"
    for name, side in (("large", 320), ("small", 40)):
        labels = np.zeros((6, side, side), np.uint8)
        labels[1:5, 8:30, 8:30] = 1
        write_case(folder, name, rng.integers(-1000, 400, labels.shape), labels, patient=name)
    return folder, next(read_case(one)[0] for one in find_cases([folder]) if one.name == "large")


def without_fingerprints(pack, out):
    """The pack as an earlier version would have written it."""
    with np.load(pack) as members:
        parts = {name: members[name] for name in members.files}
    index = json.loads(parts["index"].tobytes())
    for entry in index["cases"]:
        del entry["voxels_sha256"], entry["slices_sha256"], entry["first"]
    np.savez(out, **{**parts, "index": np.frombuffer(json.dumps(index).encode(), np.uint8)})
    return out


def used_and_told(pack, scan):
    told = []
    found = drain(rehearsal(find_cases([pack]), SLICES, [scan]), told.append)
    used = {s.case for s in found.rehearsed} | {lesson.scan_sha256 for lesson in (*found.asked, *found.recalled)}
    return used, " ".join(each.words for each in told if isinstance(each, Remark))


@pytest.mark.parametrize("max_mb", [None, 0.45, 0.2])
def test_a_scan_that_is_being_learned_is_known_in_a_pack_too_however_small_it_was_made(corrected, tmp_path, max_mb):
    folder, scan = corrected
    made = drain(packed(find_cases([folder]), tmp_path / "both.npz", max_mb))
    assert bool(made.notes) is (max_mb is not None)
    used, words = used_and_told(made.path, scan)
    assert used == {"small"}
    assert words == "large is left out of the older cases: it is a scan whose corrections are learned now."


def test_of_a_pack_without_fingerprints_it_says_what_it_cannot_know(corrected, tmp_path):
    folder, scan = corrected
    made = drain(packed(find_cases([folder]), tmp_path / "both.npz"))
    whole, whole_words = used_and_told(without_fingerprints(made.path, tmp_path / "old.npz"), scan)
    made = drain(packed(find_cases([folder]), tmp_path / "less.npz", 0.45))
    less, less_words = used_and_told(without_fingerprints(made.path, tmp_path / "older.npz"), scan)
    assert (whole, less) == ({"small"}, {"small", "large"})
    assert "large is left out" in whole_words
    assert "older.npz is of an earlier version and does not say which scans it holds" in less_words
    assert "make it again with 'covseg pack'" in less_words


def test_what_is_rehearsed_is_on_record_by_the_slices_of_the_scan_it_was_taken_from(corrected, tmp_path):
    folder, scan = corrected
    (large,) = [replace(one, slices=(3, 4, 5, 6)) for one in find_cases([folder]) if one.name == "large"]
    made = drain(packed([large], tmp_path / "fewer.npz", 0.32))
    assert "keeps" in " ".join(made.notes)
    whole, cut = (drain(rehearsal(among, SLICES)).learned for among in ([large], find_cases([made.path])))
    assert set(whole) == {scan.voxels_sha256}
    assert whole[scan.voxels_sha256].taught
    assert whole[scan.voxels_sha256].slices_sha256 == scan.slices_sha256
    assert cut == whole
