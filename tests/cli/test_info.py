"""`covseg info`: what is there, and what is odd about it."""

import nibabel as nib
import numpy as np


def test_a_plain_scan(covseg, scan):
    found = covseg("info", scan, "--json").json
    assert found["format"] == "NIfTI"
    assert found["shape"] == [24, 20, 6]
    assert found["spacing_mm"] == [2.0, 2.0, 5.0]
    assert found["orientation"] == "LPS"
    assert found["hu_range"] == [-1024.0, 900.0]
    assert found["series"] == []
    assert found["warnings"] == []


def test_an_8_bit_picture_is_no_ct(covseg, tmp_path, write_mask):
    grey = np.random.default_rng(0).integers(0, 256, (8, 8, 4))
    (warning,) = covseg("info", write_mask(tmp_path / "grey.nii.gz", grey), "--json").json["warnings"]
    assert "8-bit" in warning


def test_sagittal_and_oblique_slices_are_said(covseg, tmp_path, write_scan, lps_mm):
    sagittal = write_scan(tmp_path / "sagittal.nii.gz", affine=lps_mm[[2, 1, 0, 3]])
    assert "sagittal" in covseg("info", sagittal).out
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, 0.05, 0.02))
    oblique = write_scan(tmp_path / "oblique.nii.gz", affine=turn @ lps_mm)
    assert "oblique" in covseg("info", oblique).out


def test_real_dicom(covseg, covseg_data):
    found = covseg("info", covseg_data / "dicom" / "lung_dx_a0002", "--json").json
    assert (found["format"], found["shape"], found["warnings"]) == ("DICOM", [512, 512, 30], [])
    assert [(each["modality"], each["slices"]) for each in found["series"]] == [("CT", 30)]


def test_a_series_that_is_no_ct_is_described_all_the_same(covseg, covseg_data):
    said = covseg("info", covseg_data / "dicom" / "odd_nm", "--json")
    assert said.status == 0
    assert said.json["shape"] is None
    assert "NM" in said.json["warnings"][0]
