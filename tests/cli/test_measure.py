"""`covseg measure`: the numbers, and whose grid they are taken on."""

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.io import sample_lesion, sample_lung, sample_scan


@pytest.fixture
def spots():
    values = np.zeros((24, 20, 6))
    values[8:12, 8:12, 2:4] = 1
    values[5:7, 5:7, 0] = 2
    values[18, 14, 5] = 2
    return values


def test_numbers_of_a_small_case(covseg, scan, spots, tmp_path, write_mask):
    lesion = write_mask(tmp_path / "lesion.nii.gz", spots)
    lung = np.zeros_like(spots)
    lung[5:-5, 5:-5] = 1
    said = covseg("measure", lesion, "--scan", scan, "--lungs", write_mask(tmp_path / "lung.nii.gz", lung), "--json")
    ggo, consolidation = (said.json["classes"][name] for name in ("ggo", "consolidation"))
    assert ggo["ml"] == pytest.approx(32 * 0.02)
    assert ggo["mean_hu"] == pytest.approx(-300, abs=10)
    assert (ggo["components"], consolidation["components"]) == (1, 2)
    assert ggo["percent_of_lung"] == pytest.approx(100 * 32 / lung.sum(), abs=1e-3)
    assert said.json["classes"]["effusion"]["mean_hu"] is None
    assert said.json["severity"]["percent_of_lung_involved"] == pytest.approx(100 * 37 / lung.sum(), abs=0.01)


def test_without_lungs_shares_are_not_made_up(covseg, scan, spots, tmp_path, write_mask):
    found = covseg("measure", write_mask(tmp_path / "lesion.nii.gz", spots), "--scan", scan, "--json").json
    assert found["classes"]["ggo"]["percent_of_lung"] is None
    assert found["severity"] == {"percent_of_lung_involved": None}


def test_labels_on_another_grid_are_brought_onto_the_scans(covseg, scan, spots, tmp_path, write_mask, lps_mm):
    flipped = lps_mm @ np.array([[-1, 0, 0, 23], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    there = write_mask(tmp_path / "lesion.nii.gz", spots)
    other = write_mask(tmp_path / "flipped.nii.gz", spots[::-1], flipped)
    said = covseg("measure", other, "--scan", scan, "--json")
    assert "another grid" in said.err
    assert said.json == covseg("measure", there, "--scan", scan, "--json").json


def test_labels_beside_the_scan_are_refused(covseg, scan, spots, tmp_path, write_mask, lps_mm):
    away = lps_mm.copy()
    away[:3, 3] += 500
    said = covseg("measure", write_mask(tmp_path / "lesion.nii.gz", spots, away), "--scan", scan)
    assert said.status == 1
    assert "lesion.nii.gz" in said.err


def test_an_empty_lung_mask_is_refused(covseg, scan, spots, tmp_path, write_mask):
    empty = write_mask(tmp_path / "lung.nii.gz", np.zeros_like(spots))
    lesion = write_mask(tmp_path / "lesion.nii.gz", spots)
    said = covseg("measure", lesion, "--scan", scan, "--lungs", empty)
    assert said.status == 1
    assert "lung.nii.gz" in said.err


def test_the_sample_as_a_table(covseg):
    said = covseg("measure", sample_lesion(), "--scan", sample_scan(), "--lungs", sample_lung())
    assert said.status == 0
    assert "effusion" in said.out
    assert "% of the lung is involved" in said.out


def test_what_is_doubtful_about_a_label_maps_place_is_said(covseg, scan, spots, tmp_path, lps_mm):
    image = nib.Nifti1Image(spots.astype(np.uint8), lps_mm)
    image.set_sform(lps_mm, 1)
    image.set_qform(np.diag([-1, 1, 1, 1]) @ lps_mm, 1)
    nib.save(image, tmp_path / "lesion.nii.gz")
    said = covseg("measure", tmp_path / "lesion.nii.gz", "--scan", scan)
    assert said.status == 0
    assert "lesion.nii.gz says twice where it is" in said.err


@pytest.mark.parametrize(("moved_mm", "status", "words"), [(10, 1, "lies beside"), (5, 0, "1 of the 101 voxels")])
def test_what_a_map_marks_outside_the_scan_is_said_and_soon_refused(
    covseg, scan, tmp_path, write_mask, lps_mm, moved_mm, status, words
):
    moved = lps_mm.copy()
    moved[2, 3] += moved_mm
    values = np.zeros((24, 20, 6))
    values[8:18, 8:18, 2] = 1  # 100 voxels within the scan wherever it is moved
    values[8, 8, 5] = 1
    values[8:10, 8, 4] = moved_mm > 5
    said = covseg("measure", write_mask(tmp_path / "lesion.nii.gz", values, moved), "--scan", scan)
    assert said.status == status
    assert words in said.err


@pytest.mark.parametrize(("values", "status"), [((7,), 1), ((1, 7), 0), ((1, 2, 3, 4), 0)])
def test_values_that_are_no_class_are_said_and_refused_where_nothing_else_is(
    covseg, scan, tmp_path, write_mask, values, status
):
    marked = np.zeros((24, 20, 6))
    marked[8 : 8 + len(values), 8, 3] = values
    said = covseg("measure", write_mask(tmp_path / "lesion.nii.gz", marked), "--scan", scan)
    assert said.status == status
    assert ("which is no class" in said.err) is (7 in values)


def test_a_map_of_lesions_or_lobes_is_no_lung_mask(covseg, scan, spots, tmp_path, write_mask):
    lesion = write_mask(tmp_path / "lesion.nii.gz", spots)
    said = covseg("measure", lesion, "--scan", scan, "--lungs", lesion)
    assert said.status == 1
    assert "marks 1, 2, not lung alone" in said.err
    one = write_mask(tmp_path / "one.nii.gz", spots == 1)
    said = covseg("measure", one, "--scan", scan, "--lungs", one)
    assert said.status == 1
    assert "the very voxels of the lesions" in said.err


@pytest.mark.parametrize(("shift", "is_said"), [(0, False), (12, True)])
def test_opacities_outside_the_lungs_are_said(covseg, scan, spots, tmp_path, write_mask, shift, is_said):
    lung = np.zeros_like(spots)
    lung[5 + shift : 12 + shift, 5:-5] = 1
    lesion = write_mask(tmp_path / "lesion.nii.gz", spots == 1)
    said = covseg("measure", lesion, "--scan", scan, "--lungs", write_mask(tmp_path / "lung.nii.gz", lung))
    assert said.status == 0
    assert ("outside the lung mask" in said.err) is is_said
