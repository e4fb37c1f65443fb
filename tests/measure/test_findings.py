"""Everything odd about a label map is told with a place to go to, and nothing of a sound one."""

import numpy as np
import pytest

from napari_covseg.io import read_labels, read_volume, sample_lesion, sample_scan
from napari_covseg.measure.body import body, liver_side
from napari_covseg.measure.findings import findings
from napari_covseg.volume import LESIONS, Geometry, LabelMap, Volume, labels_on, reoriented

AFFINE = np.array([[0, 0, -2, 0], [0, -2, 0, 0], [-3, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
SHAPE = (20, 100, 120)
GGO, CONSOLIDATION, EFFUSION = 1, 2, 3


@pytest.fixture
def scan():
    """A body with two lungs that end above a liver on the patient's right, in air."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 10:90, 10:110] = 40
    hu[:14, 30:70, 25:55] = hu[:14, 30:70, 65:95] = -850
    hu[14:, 30:70, 60:95] = -100
    return Volume(hu, Geometry(SHAPE, AFFINE))


@pytest.fixture
def labelled(scan):
    """Return a label map on which something is drawn and has the density that belongs there."""
    values = np.zeros(SHAPE, np.uint8)

    def drawn(box, value, hu):
        values[box] = value
        if hu is not None:
            scan.hu[box] = hu
        return LabelMap(values, scan.geometry, LESIONS)

    return drawn


def kinds(found):
    return [finding.kind for finding in found]


def test_a_sound_label_map_raises_no_finding(scan, labelled):
    labelled(np.s_[3:6, 40:50, 30:40], GGO, -600)
    labelled(np.s_[3:6, 50:60, 70:80], CONSOLIDATION, 20)
    labels = labelled(np.s_[8:12, 62:70, 70:80], EFFUSION, 10)
    assert findings(labels, scan) == ()


def test_an_empty_label_map_raises_no_finding(scan, labelled):
    assert findings(labelled(np.s_[:0], GGO, None), scan) == ()


def test_consolidation_at_minus_900_is_told_where_it_is(scan, labelled):
    labels = labelled(np.s_[3:6, 40:50, 30:40], CONSOLIDATION, -900)
    (finding,) = findings(labels, scan)
    assert finding.kind == "unlikely density"
    assert "consolidation at -900 HU" in finding.sentence
    assert labels.values[finding.place] == CONSOLIDATION
    assert finding.sentence.startswith(f"Slice {finding.slice_index + 1}:")
    assert finding.ml == pytest.approx(300 * 0.012)


@pytest.mark.parametrize(
    ("value", "hu", "is_told"),
    [
        (GGO, -900, False),
        (GGO, -901, True),
        (GGO, -150, False),
        (GGO, -149, True),
        (CONSOLIDATION, -350, False),
        (CONSOLIDATION, -351, True),
        (CONSOLIDATION, 200, False),
        (CONSOLIDATION, 201, True),
        (EFFUSION, -70, False),
        (EFFUSION, -71, True),
        (EFFUSION, 100, False),
        (EFFUSION, 101, True),
    ],
)
def test_each_class_has_its_range(scan, labelled, value, hu, is_told):
    labels = labelled(np.s_[3:6, 40:50, 30:40], value, hu)
    assert kinds(findings(labels, scan)) == (["unlikely density"] if is_told else [])


@pytest.mark.parametrize(("odd", "is_told"), [(10, False), (11, True)])
def test_a_component_is_told_when_more_than_a_third_is_odd(scan, labelled, odd, is_told):
    labels = labelled(np.s_[3:6, 40, 30:40], CONSOLIDATION, 20)
    scan.hu[3:6, 40, 30:40].reshape(-1)[...] = 20
    flat = np.argwhere(labels.values)
    scan.hu[tuple(flat[:odd].T)] = -900
    assert bool(findings(labels, scan)) == is_told


@pytest.mark.parametrize(("columns", "is_told"), [(7, True), (6, False)])
def test_what_ran_out_of_a_sound_lesion_into_the_lung_is_told_by_its_own_size(scan, labelled, columns, is_told):
    labelled(np.s_[3:9, 32:60, 30:40], CONSOLIDATION, 20)
    labels = labelled(np.s_[6, 60:66, 30 : 30 + columns], CONSOLIDATION, -850)  # 0.504 mL or 0.432 mL
    found = findings(labels, scan)
    assert kinds(found) == (["unlikely density"] if is_told else [])
    for finding in found:
        assert finding.ml == pytest.approx(0.504)
        assert scan.hu[finding.place] == -850
        assert finding.sentence.startswith("Slice 7: 0.5 mL in consolidation lie together at -850 HU")


def test_the_rim_of_a_lesion_and_single_voxels_of_noise_are_not_told(scan, labelled):
    labels = labelled(np.s_[3:9, 32:60, 30:52], CONSOLIDATION, 20)
    scan.hu[3:9, 32, 30:52] = scan.hu[3:9, 59, 30:52] = scan.hu[3:9, 32:60, 30] = -700  # 5 mL, one voxel wide
    scan.hu[3:9, 34:58:3, 33:50:3] = -700
    assert findings(labels, scan) == ()


@pytest.fixture
def cut(scan, labelled):
    """Return findings of a field of view: the skin in it on the patient's right, both lungs cut by its edges."""

    def found(*lesions):
        for box, value, hu in lesions:
            labels = labelled(box, value, hu)
        box = np.s_[:, 35:65, :90]
        geometry = Geometry((20, 30, 90), AFFINE)
        return findings(LabelMap(labels.values[box], geometry, LESIONS), Volume(scan.hu[box], geometry))

    return found


def test_a_lesion_in_a_lung_that_the_field_of_view_cuts_is_in_the_body(cut):
    in_left, in_wall = (np.s_[3:6, 40:50, 70:80], GGO, -600), (np.s_[8:11, 40:45, 13:18], CONSOLIDATION, 20)
    assert cut((np.s_[3:6, 36:50, 30:40], GGO, -600), in_left, in_wall) == ()


def test_a_lesion_in_the_air_beside_a_body_that_is_cut_is_told(cut):
    found = cut((np.s_[3:6, 40:50, 1:5], CONSOLIDATION, None), (np.s_[3:6, 40:50, 30:40], GGO, -600))
    assert [finding.kind for finding in found][:3] == ["outside the body"] * 3
    assert {finding.place[2] for finding in found[:3]} <= {1, 2, 3, 4}


@pytest.mark.parametrize(("hu", "is_body"), [(-949, True), (-950, False)])
def test_what_reaches_the_edge_is_lung_or_air_by_its_density(hu, is_body):
    plane = np.full((20, 20), 40, np.float32)
    plane[:8, :8] = hu
    assert body(plane)[2, 2] == is_body
    assert body(plane)[15, 15]


def test_where_all_is_air_or_all_is_cut_through_there_is_no_body_or_nothing_else():
    assert not body(np.full((9, 9), -1000, np.float32)).any()
    assert body(np.full((9, 9), -850, np.float32)).all()


def test_a_lesion_outside_the_body_is_told(scan, labelled):
    labels = labelled(np.s_[3:6, 94:98, 40:50], CONSOLIDATION, None)
    scan.hu[3:6, 94:98, 40:50] = 20
    found = findings(labels, scan)
    assert kinds(found) == ["outside the body"] * 3
    assert {finding.slice_index for finding in found} == {3, 4, 5}
    assert all(labels.values[finding.place] for finding in found)
    assert "0.5 mL of consolidation lie outside the body" in found[0].sentence


def test_a_lesion_that_touches_the_skin_is_inside(scan, labelled):
    assert findings(labelled(np.s_[3:6, 85:91, 40:50], CONSOLIDATION, 20), scan) == ()


def test_a_lesion_on_one_slice_alone_is_told_and_one_of_two_classes_is_one_lesion(scan, labelled):
    labelled(np.s_[3, 40:50, 30:40], GGO, -600)
    labels = labelled(np.s_[4, 40:50, 30:40], CONSOLIDATION, 20)
    assert findings(labels, scan) == ()
    (finding,) = findings(labelled(np.s_[9, 40:43, 70:73], GGO, -600), scan)
    assert (finding.kind, finding.slice_index) == ("on one slice alone", 9)
    assert finding.place == (9, 41, 71)
    assert "0.1 mL" in finding.sentence


@pytest.mark.parametrize(
    ("apart_mm", "pixels", "is_told"), [(3, 1, True), (4, 3, False), (4, 4, True), (8, 12, False), (8, 13, True)]
)
def test_between_slices_far_apart_only_wide_lesions_are_told(apart_mm, pixels, is_told):
    affine = AFFINE.copy()
    affine[2, 0] = -apart_mm
    scan = Volume(np.full(SHAPE, -600, np.int16), Geometry(SHAPE, affine))
    scan.hu[:, 10:90, 10:110] = 40
    values = np.zeros(SHAPE, np.uint8)
    values[5, 40, 30 : 30 + pixels] = CONSOLIDATION
    found = findings(LabelMap(values, scan.geometry), scan)
    assert kinds(found) == (["on one slice alone"] if is_told else [])


def test_larger_ones_come_first(scan, labelled):
    labelled(np.s_[9, 40:43, 70:73], GGO, -600)
    found = findings(labelled(np.s_[5, 40:50, 70:80], GGO, -600), scan)
    assert [finding.slice_index for finding in found] == [5, 9]


def test_a_liver_on_the_left_is_told(scan, labelled):
    labels = labelled(np.s_[3:6, 40:50, 30:40], GGO, -600)
    mirrored = Volume(np.ascontiguousarray(scan.hu[:, :, ::-1]), scan.geometry)
    flipped = labels.with_voxels(np.ascontiguousarray(labels.values[:, :, ::-1]), labels.geometry)
    (finding,) = findings(flipped, mirrored)
    assert finding.kind == "sides exchanged"
    assert finding.slice_index >= 14
    assert "liver" in finding.sentence


def test_a_scan_that_ends_above_the_liver_says_nothing_of_sides(scan):
    short = Volume(scan.hu[:14], Geometry((14, *SHAPE[1:]), AFFINE))
    assert liver_side(short) is None
    air = Volume(np.full_like(scan.hu, -1000), scan.geometry)
    assert liver_side(air) is None


def test_the_sample_is_sound_and_its_mirror_image_is_not():
    scan = reoriented(read_volume(sample_scan()))
    labels = labels_on(read_labels(sample_lesion()), scan.geometry)
    found = kinds(findings(labels, scan))
    assert "sides exchanged" not in found
    assert "outside the body" not in found
    mirrored = Volume(np.ascontiguousarray(scan.hu[:, :, ::-1]), scan.geometry)
    assert "sides exchanged" in kinds(findings(labels, mirrored))


def test_real_scans_have_their_sides_right(covseg_data):
    scans = sorted((covseg_data / "volumes").glob("*_ct.nii.gz"))[:3]
    sides = [liver_side(reoriented(read_volume(path))) for path in scans]
    assert all(side.excess > 0.1 for side in sides)


def test_labels_of_another_grid_are_refused(scan):
    other = Geometry(SHAPE, AFFINE * [[1], [1], [2], [1]])
    with pytest.raises(ValueError, match="grid"):
        findings(LabelMap(np.zeros(SHAPE, np.uint8), other), scan)
