"""`covseg info`: what is there, and what is odd about it."""

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from tests.io.series import all_slices, series_in


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
    said = covseg("info", write_mask(tmp_path / "grey.nii.gz", grey), "--json")
    assert said.status == 1
    (warning,) = said.json["warnings"]
    assert "8-bit" in warning
    assert "--window" in warning


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


def test_a_series_that_is_no_ct_is_described_and_does_not_pass_for_a_scan(covseg, covseg_data):
    said = covseg("info", covseg_data / "dicom" / "odd_nm", "--json")
    assert said.status == 1
    assert said.json["shape"] is None
    assert said.json["series"][0]["slices"] == 4
    assert "NM" in said.json["warnings"][0]
    assert said.json["error"] in said.err


def test_it_opens_with_a_stated_spacing(covseg, covseg_data):
    said = covseg("info", covseg_data / "dicom" / "odd_nm", "--json", "--spacing", "0.68,0.68,6")
    assert said.status == 0
    assert said.json["spacing_mm"] == [0.68, 0.68, 6.0]
    assert any("NM" in warning for warning in said.json["warnings"])


def test_of_several_series_each_is_listed_and_one_is_chosen(covseg, tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    series_in(folder, series_uid="1.2.3.2222", count=3)
    said = covseg("info", folder, "--json")
    assert said.status == 1
    assert [(each["number"], each["uid"], each["slices"]) for each in said.json["series"]] == [
        (1, "1.2.3.1111", 4),
        (2, "1.2.3.2222", 3),
    ]
    assert said.json["shape"] is None
    assert covseg("info", folder, "--series", "2", "--json").json["shape"][2] == 3
    assert covseg("info", folder, "--series", "9").status == 1


def test_a_tilt_is_straightened_on_request(covseg, tmp_path, write_scan, lps_mm):
    tilted = lps_mm.copy()
    tilted[1, 2] = 1.0
    path = write_scan(tmp_path / "tilted.nii.gz", affine=tilted)
    said = covseg("info", path)
    assert said.status == 1
    assert "--straighten" in said.err
    said = covseg("info", path, "--straighten", "--json")
    assert "shifted upright" in said.json["warnings"][0]


@pytest.mark.parametrize(
    "words",
    [("--spacing", "1,2"), ("--spacing", "a,b,c"), ("--spacing", "0,1,1"), ("--window", "-600"), ("--window", "0/0")],
)
def test_what_cannot_be_stated_is_wrong_use(covseg, scan, words):
    assert covseg("info", scan, *words).status == 2


def test_a_picture_takes_a_window(covseg, tmp_path):
    imageio.imwrite(tmp_path / "slice.png", np.arange(100, dtype=np.uint8).reshape(10, 10))
    assert covseg("info", tmp_path / "slice.png").status == 1
    said = covseg("info", tmp_path / "slice.png", "--window", "-600/1500", "--json")
    assert said.json["hu_range"][0] == -1350
    assert said.json["format"] == "PNG"


@pytest.mark.parametrize("words", ["Lung [/B40]", "THORAX [red]1.0[bold] [B70f]", ":lungs: [1]"])
def test_what_a_scanner_or_a_person_named_is_never_markup(covseg, tmp_path, words):
    folder = series_in(tmp_path / "case [B40] [bold]", all_slices(SeriesDescription=words))
    said = covseg("info", folder)
    assert said.status == 0
    assert words in said.out
    assert "case [B40] [bold]" in said.out
