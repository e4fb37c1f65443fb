"""What a network is shown: grey, what is known of every voxel, and which slices belong together."""

import numpy as np
import pytest

from napari_covseg.io.cases import find_cases
from napari_covseg.jobs import Progress, Remark, drain
from napari_covseg.networks import load
from napari_covseg.training.stacks import HEALTHY_LUNG, IGNORED, hounsfield, read_stacks, stack_of
from napari_covseg.volume import LUNGS, Geometry, LabelMap, Volume

FULL = frozenset({"ggo", "consolidation", "effusion"})
SHAPE = (5, 32, 40)
READING = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [-5, 0, 0, 0], [0, 0, 0, 1]])
GEOMETRY = Geometry(SHAPE, READING)
SLICES, PATCHES = load("chs_net"), load("covid_segnet")


def scan(hu=-800.0):
    return Volume(np.broadcast_to(np.float32(hu), SHAPE).copy(), GEOMETRY)


def label_map(*marks, scheme=None):
    values = np.zeros(SHAPE, np.uint8)
    for place, value in marks:
        values[place] = value
    return LabelMap(values, GEOMETRY, scheme) if scheme else LabelMap(values, GEOMETRY)


def stacked(spec, labels, lung=None, slices=None, annotated=FULL):
    return stack_of(scan(), labels, lung, spec, annotated=annotated, case="a", patient="p", slices=slices)


def test_stored_grey_is_within_4_hu_of_the_scan():
    hu = np.random.default_rng(0).uniform(-1000, 1000, SHAPE).astype(np.float32)
    known = {"annotated": FULL, "case": "a", "patient": "p"}
    stack = stack_of(Volume(hu, GEOMETRY), label_map(), None, PATCHES, **known)
    assert stack.grey.dtype == np.uint8
    assert np.abs(stack.grey_hu - hu).max() <= 4
    assert hounsfield(np.array([0, 255], np.uint8)).tolist() == [-1000, 1000]


def test_a_lung_mask_says_what_is_healthy_and_leaves_lesions_alone():
    labels = label_map((np.s_[:, 10:14, 10:14], 2))
    lung = label_map((np.s_[:, 4:20, 4:20], 1), scheme=LUNGS)
    (plane, *_) = stacked(PATCHES, labels, lung).labels
    assert (plane[10:14, 10:14] == 2).all()
    assert (plane == HEALTHY_LUNG).sum() == 16 * 16 - 4 * 4
    assert not plane[20:].any()


def test_lung_is_known_where_there_is_a_mask_whatever_was_written_down():
    lung = label_map(scheme=LUNGS)
    assert "lung" in stacked(PATCHES, label_map(), lung).annotated
    assert "lung" not in stacked(PATCHES, label_map(), None, annotated=FULL | {"lung"}).annotated


def test_a_network_of_slices_keeps_the_reviewed_ones_alone():
    stack = stacked(SLICES, label_map((np.s_[3], 1)), slices=(1, 3))
    assert stack.grey.shape == (2, 256, 256)
    assert [int(plane.max()) for plane in stack.labels] == [0, 1]
    assert not (stack.labels == IGNORED).any()


def test_a_network_of_patches_keeps_all_and_ignores_the_unreviewed():
    stack = stacked(PATCHES, label_map((np.s_[3], 1)), slices=(1, 3))
    assert stack.grey.shape == SHAPE
    ignored = (stack.labels == IGNORED).reshape(5, -1)
    assert ignored.all(axis=1).tolist() == [True, False, True, False, True]
    assert ignored.any(axis=1).tolist() == [True, False, True, False, True]


def test_labels_follow_the_scan_onto_the_networks_grid():
    """The scan is 32 × 40, padded to 40 × 40, then 256 × 256: rows begin 4 pixels lower."""
    (plane, *_) = stacked(SLICES, label_map((np.s_[:, 16:20, 10:20], 1))).labels
    rows, columns = np.nonzero(plane)
    assert (rows.min(), rows.max() + 1) == pytest.approx((20 * 6.4, 24 * 6.4), abs=1)
    assert (columns.min(), columns.max() + 1) == pytest.approx((10 * 6.4, 20 * 6.4), abs=1)


def test_numbered_slices_of_a_patient_become_one_stack_and_unrelated_ones_do_not(tmp_path, write_picture):
    grey = np.zeros((24, 24))
    for name in ("c01-001", "c01-003", "c02-001", "c02-extra"):
        write_picture(tmp_path / "x", name, grey, grey, patient=name[:3], annotated=["infection"])
    for name in ("000", "001"):
        write_picture(tmp_path / "set", name, grey, grey)
    found = find_cases([tmp_path / "x", tmp_path / "set"])
    piles = drain(read_stacks(found, PATCHES))
    assert [(pile.case, len(pile.grey)) for pile in piles] == [
        ("c01-001", 2),
        ("c02-001", 1),
        ("c02-extra", 1),
        ("000", 1),
        ("001", 1),
    ]
    assert [len(stack.grey) for stack in drain(read_stacks(found, SLICES))] == [1] * 6


def test_slices_of_other_sizes_or_otherwise_annotated_are_another_stack(tmp_path, write_picture):
    for name, side, classes in (("p-1", 24, ["infection"]), ("p-2", 16, ["infection"]), ("p-3", 16, ["effusion"])):
        write_picture(tmp_path, name, np.zeros((side, side)), np.zeros((side, side)), patient="p", annotated=classes)
    piles = drain(read_stacks(find_cases([tmp_path]), PATCHES))
    assert [pile.grey.shape for pile in piles] == [(1, 24, 24), (1, 16, 16), (1, 16, 16)]


def test_reading_tells_which_case_it_is_at(cases):
    told = []
    drain(read_stacks(find_cases([cases]), SLICES), told.append)
    assert told[0] == Progress(0, 4, "reading c1-1")
    assert len(told) == 4


def test_reading_tells_what_is_doubtful_about_a_case_and_teaches_nothing_that_is_no_class(write_picture, tmp_path):
    labels = np.zeros((24, 24))
    labels[2:8, 2:8], labels[12:16, 2:8], labels[12:16, 12:16] = 1, HEALTHY_LUNG, IGNORED
    write_picture(tmp_path, "p-1", np.zeros((24, 24)), labels, patient="p", annotated=["ggo"])
    told = []
    (stack,) = drain(read_stacks(find_cases([tmp_path]), SLICES), told.append)
    assert [step.words.split(", which")[0] for step in told if isinstance(step, Remark)] == [
        "p-1_label.png also holds 5, 255"
    ]
    assert sorted(np.unique(stack.labels)) == [0, 1]


def test_a_stack_learns_what_a_stage_saw_and_stays_itself(make_stack):
    stack = make_stack(np.zeros((1, 4, 4)))
    region = np.ones((1, 4, 4), bool)
    assert stack.with_region("lung", region).regions["lung"] is region
    assert not stack.regions


@pytest.mark.parametrize("spec", [SLICES, PATCHES], ids=lambda spec: spec.key)
def test_a_case_limited_to_no_slice_teaches_nothing_and_one_beyond_the_scan_is_refused(spec, tmp_path, write_picture):
    for name, slices in (("a", None), ("b", [])):
        write_picture(tmp_path / name, name, np.zeros((32, 32)), np.zeros((32, 32)), slices=slices)
    assert [stack.case for stack in drain(read_stacks(find_cases([tmp_path / "a", tmp_path / "b"]), spec))] == ["a"]
    write_picture(tmp_path / "c", "c", np.zeros((32, 32)), np.zeros((32, 32)), slices=[2])
    with pytest.raises(ValueError, match=r"slices of c beyond its 1"):
        drain(read_stacks(find_cases([tmp_path / "c"]), spec))
