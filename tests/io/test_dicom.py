from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from napari_covseg.io import read_volume
from napari_covseg.io.dicom import SeriesSummary, describe_series, read_series

from .series import (
    COLUMN_MM,
    COLUMNS,
    GAP_MM,
    ROW_MM,
    ROWS,
    SLICES,
    TURN,
    all_slices,
    enhanced_in,
    moved_by,
    numbers,
    one_slice,
    series_in,
    slice_of,
)


def by_simpleitk(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def assert_like_simpleitk(volume, image):
    shape = image.GetSize()
    assert volume.hu.shape == shape
    np.testing.assert_array_equal(volume.hu.transpose(2, 1, 0), sitk.GetArrayViewFromImage(image))
    corners = [(i, j, k) for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)]
    lps = np.array([image.TransformIndexToPhysicalPoint(corner) for corner in corners])
    np.testing.assert_allclose(volume.geometry.to_mm(corners), lps * (-1, -1, 1), atol=1e-3)


def refusal(folder):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the callers look at the words
        read_series(folder)
    message = str(refused.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert "Doe" not in message
    return message


def test_a_real_series_has_the_values_and_the_place_simpleitk_gives_it(covseg_data):
    folder = covseg_data / "dicom" / "lung_dx_a0002"
    volume = read_series(folder)
    assert_like_simpleitk(volume, by_simpleitk(folder))
    assert volume.hu.dtype == np.int16
    assert volume.geometry.orientation == "LPS"
    assert volume.name == "lung_dx_a0002"


def test_a_real_series_of_another_modality_is_refused(covseg_data):
    message = refusal(covseg_data / "dicom" / "odd_nm")
    assert message.startswith("odd_nm holds images of modality NM without a position; choose the folder of a CT series")
    assert "apart in mm" in message


@pytest.mark.parametrize("keep", [29, 30])
def test_a_slice_missing_inside_a_real_series_is_noticed(covseg_data, tmp_path, keep):
    files = sorted((covseg_data / "dicom" / "lung_dx_a0002").iterdir())
    for file in files[: keep - 20] + files[-20:]:
        shutil.copy(file, tmp_path)
    if keep == 30:
        assert read_series(tmp_path).hu.shape[2] == 30
    else:
        assert "1-09.dcm" in refusal(tmp_path)
        assert "16.00 mm apart, others 8.00 mm (1 slice is missing there)" in refusal(tmp_path)


@pytest.mark.parametrize("turn", [np.eye(3), TURN, Rotation.from_euler("x", 90, degrees=True).as_matrix()])
def test_an_oblique_series_under_shuffled_names_is_where_simpleitk_says(tmp_path, turn):
    folder = series_in(tmp_path / "case", turn=turn)
    volume = read_series(folder)
    assert_like_simpleitk(volume, by_simpleitk(folder))
    assert volume.geometry.spacing_mm == pytest.approx((COLUMN_MM, ROW_MM, GAP_MM), abs=1e-6)


def test_memory_is_laid_out_slice_by_slice_and_axes_are_column_row_slice(tmp_path):
    volume = read_volume(series_in(tmp_path / "case"))
    assert volume.hu.shape == (COLUMNS, ROWS, SLICES)
    assert volume.hu.transpose(2, 1, 0).flags.c_contiguous
    first = np.frombuffer(slice_of(0, "1.2").PixelData, np.int16).reshape(ROWS, COLUMNS)
    np.testing.assert_array_equal(volume.hu[:, :, 0], first.T - 1024)


def test_slices_grow_along_the_normal_whatever_the_patient_lies_like(tmp_path):
    feet_first = np.diag([-1.0, 1.0, -1.0])
    volume = read_series(series_in(tmp_path / "case", turn=feet_first))
    assert volume.geometry.orientation == "RPI"
    assert np.linalg.det(volume.geometry.affine[:3, :3]) > 0


def test_a_tilted_gantry_gives_a_sheared_grid(tmp_path):
    tilt_mm = np.array([0.0, 0.6, 0.0])

    def change(index):
        place = np.array([-120.5, 33.25, -400.0]) + TURN[:, 2] * GAP_MM * index + TURN @ tilt_mm * index
        return {"ImagePositionPatient": numbers(place)}

    geometry = read_series(series_in(tmp_path / "case", change)).geometry
    last = np.array([-120.5, 33.25, -400.0]) + (TURN[:, 2] * GAP_MM + TURN @ tilt_mm) * (SLICES - 1)
    assert geometry.to_mm((0, 0, SLICES - 1)) == pytest.approx(last * (-1, -1, 1), abs=1e-6)
    assert geometry.voxel_ml == pytest.approx(COLUMN_MM * ROW_MM * GAP_MM / 1000)


def test_the_scan_is_named_after_its_folder_and_no_name_enters(tmp_path, caplog):
    folder = series_in(tmp_path / "case_7")
    assert read_series(folder).name == "case_7"
    assert "Doe" not in repr(describe_series(folder)) + caplog.text


def test_each_slice_has_its_own_rescale(tmp_path):
    folder = series_in(tmp_path / "case", one_slice(2, RescaleSlope=2, RescaleIntercept=-2000))
    volume = read_series(folder)
    stored = np.frombuffer(slice_of(2, "1.2").PixelData, np.int16).reshape(ROWS, COLUMNS)
    np.testing.assert_array_equal(volume.hu[:, :, 2], 2 * stored.T - 2000)
    np.testing.assert_array_equal(
        volume.hu[:, :, 1], np.frombuffer(slice_of(1, "1.2").PixelData, np.int16).reshape(ROWS, COLUMNS).T - 1024
    )


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({"RescaleIntercept": "-1024.0"}, np.int16),
        ({"RescaleIntercept": "-1024.5"}, np.float32),
        ({"RescaleSlope": "0.5"}, np.float32),
        ({"PixelData": np.full((ROWS, COLUMNS), 32767, np.int16).tobytes(), "RescaleIntercept": 0}, np.int16),
        ({"PixelData": np.full((ROWS, COLUMNS), 32767, np.int16).tobytes(), "RescaleIntercept": 1}, np.float32),
        ({"PixelData": np.full((ROWS, COLUMNS), -32768, np.int16).tobytes(), "RescaleIntercept": 0}, np.int16),
        ({"PixelData": np.full((ROWS, COLUMNS), -32768, np.int16).tobytes(), "RescaleIntercept": -1}, np.float32),
    ],
)
def test_whole_hounsfield_units_that_fit_are_int16_and_others_float32(tmp_path, changes, dtype):
    folder = series_in(tmp_path / "case", one_slice(2, **changes))
    volume = read_series(folder)
    assert volume.hu.dtype == dtype
    stored = [np.frombuffer(slice_of(k, "1.2").PixelData, np.int16).reshape(ROWS, COLUMNS) for k in (0, 3)]
    np.testing.assert_array_equal(volume.hu[:, :, [0, 3]], np.stack(stored, axis=2).transpose(1, 0, 2) - 1024)


@pytest.mark.parametrize(("unsigned", "tag"), [(False, -2000), (True, 63536), (False, 63536)])
def test_padding_is_air_and_its_neighbour_in_value_is_not(tmp_path, unsigned, tag):
    padding = 63536 if unsigned else -2000
    tag = pydicom.DataElement("PixelPaddingValue", "US" if tag > 0 else "SS", tag)  # scanners mix up the two
    stored = np.full((ROWS, COLUMNS), 30, np.uint16 if unsigned else np.int16)
    stored[0, 1], stored[0, 2] = padding, padding + 1
    changes = {"PixelRepresentation": int(not unsigned), "PixelData": stored.tobytes(), "RescaleIntercept": 0}
    folder = series_in(tmp_path / "case", all_slices(**changes, PixelPaddingValue=tag))
    scan = read_series(folder)
    assert (scan.hu[1, 0] == -1024).all()
    assert (scan.hu[2, 0] == padding + 1).all()
    assert scan.notes == (f"{SLICES} voxels of case are marked as padding; they are air now.",)


@pytest.mark.parametrize(("of_30", "opens"), [(20, True), (22, False)])
def test_a_scan_that_is_mostly_padding_is_refused(tmp_path, of_30, opens):
    stored = np.arange(ROWS * COLUMNS, dtype=np.int16).reshape(ROWS, COLUMNS) + 100
    stored.flat[:of_30] = 0
    folder = series_in(
        tmp_path / "case", all_slices(PixelData=stored.tobytes(), PixelPaddingValue=0, RescaleIntercept=0)
    )
    if opens:
        assert read_series(folder).notes == (
            f"{of_30 * SLICES} voxels of case are marked as padding; they are air now.",
        )
    else:
        assert "73 % of its voxels as padding" in refusal(folder)


def test_padding_that_is_air_already_is_not_worth_a_word(tmp_path):
    stored = np.arange(ROWS * COLUMNS, dtype=np.int16).reshape(ROWS, COLUMNS)
    folder = series_in(tmp_path / "case", all_slices(PixelData=stored.tobytes(), PixelPaddingValue=0))
    assert read_series(folder).notes == ()


def test_files_that_are_not_dicom_are_passed_over(tmp_path):
    folder = series_in(tmp_path / "case")
    (folder / "notes.txt").write_text("Bed 4")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "older").mkdir()
    assert read_series(folder).hu.shape[2] == SLICES


def test_a_single_slice_is_as_thick_as_it_says(tmp_path):
    volume = read_series(series_in(tmp_path / "case", count=1))
    assert volume.geometry.spacing_mm[2] == pytest.approx(2.0)
    assert "unknown thickness" in refusal(series_in(tmp_path / "thin", all_slices(SliceThickness=None), count=1))


def test_series_are_described_without_naming_anyone(tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    series_in(folder, all_slices(Modality="MR", SeriesDescription=None), series_uid="1.2.3.2222", count=2)
    assert describe_series(folder) == [
        SeriesSummary("1.2.3.1111", "CT", 4, "Thorax"),
        SeriesSummary("1.2.3.2222", "MR", 2, ""),
    ]


def test_two_series_in_one_folder_are_refused_and_counted(tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    series_in(folder, series_uid="1.2.3.2222")
    assert "case holds 2 DICOM series" in refusal(folder)


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("Bed 4")
    for look in (read_series, describe_series):
        with pytest.raises(ValueError, match=r"holds no DICOM slices; choose the folder of one CT series\."):
            look(tmp_path)
    assert "There is no folder" in refusal(tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Modality": "MR"}, "modality MR"),
        ({"Modality": None}, "modality unknown"),
        ({"NumberOfFrames": 2, "PixelData": b"\0" * 4 * ROWS * COLUMNS}, "without a position"),
        ({"RescaleSlope": None}, "without Hounsfield units"),
        ({"RescaleIntercept": None}, "without Hounsfield units"),
        ({"ImagePositionPatient": None}, "without a position"),
        ({"ImageOrientationPatient": None}, "without a position"),
        ({"PixelSpacing": None}, "without a position"),
        ({"PixelSpacing": [0, 0.7]}, "without a position"),
        ({"ImageOrientationPatient": [0] * 6}, "without a position"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "without a position"),
    ],
)
def test_a_slice_that_is_not_ct_in_a_known_place_is_refused(tmp_path, changes, words):
    assert words in refusal(series_in(tmp_path / "all", all_slices(**changes)))
    assert words in refusal(series_in(tmp_path / "one", one_slice(2, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"Rows": 5, "Columns": 6},
        {"PixelSpacing": [ROW_MM, COLUMN_MM + 0.001]},
        {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    ],
)
def test_slices_of_two_kinds_are_refused_by_name(tmp_path, changes):
    folder = series_in(tmp_path / "case", one_slice(2, **changes), series_uid="1.2.3.1111")
    assert "1111-3.dcm and 1111-0.dcm differ" in refusal(folder)


def test_slices_that_differ_by_rounding_are_of_one_kind(tmp_path):
    folder = series_in(tmp_path / "case", one_slice(2, PixelSpacing=[ROW_MM, COLUMN_MM + 1e-5]))
    assert read_series(folder).hu.shape[2] == SLICES


def test_two_different_slices_in_one_place_are_refused_by_name(tmp_path):
    folder = series_in(tmp_path / "case", moved_by(2, (0, 0, -GAP_MM)), series_uid="1.2.3.1111")
    message = refusal(folder)
    assert "in the same place" in message
    assert "1111-0.dcm" in message
    assert "1111-3.dcm" in message


@pytest.mark.parametrize(("gap_mm", "limit_mm"), [(1.0, 0.05), (8.0, 0.08)])
@pytest.mark.parametrize("direction", [(0, 0, 1), (0, 0, -1), (1, 0, 0)])
def test_a_step_may_be_off_by_a_hundredth_or_a_twentieth_of_a_millimetre(tmp_path, gap_mm, limit_mm, direction):
    inside, outside = (np.array(direction) * limit_mm * share for share in (0.95, 1.1))
    series_in(tmp_path / "inside", moved_by(5, inside, gap_mm=gap_mm), count=9, gap_mm=gap_mm)
    assert read_series(tmp_path / "inside").hu.shape[2] == 9
    series_in(tmp_path / "outside", moved_by(5, outside, gap_mm=gap_mm), count=9, gap_mm=gap_mm)
    assert "is not evenly spaced" in refusal(tmp_path / "outside")


def test_steps_that_drift_apart_little_by_little_are_refused(tmp_path):
    def change(index):
        along_mm = index + 0.004 * index**2  # no step is off by 0.05 mm, the middle slice is by more
        place = np.array([-120.5, 33.25, -400.0]) + TURN[:, 2] * along_mm
        return {"ImagePositionPatient": numbers(place)}

    assert "is not evenly spaced" in refusal(series_in(tmp_path / "case", change, count=9, gap_mm=1.0))


def test_pixels_that_end_too_early_or_are_missing_are_refused(tmp_path):
    short = series_in(tmp_path / "short", one_slice(2, PixelData=b"\0\0" * 5), series_uid="1.2.3.1111")
    assert "1111-3.dcm is damaged" in refusal(short)
    assert "cannot be read" in refusal(series_in(tmp_path / "none", one_slice(2, PixelData=None)))


def test_a_file_cut_in_its_header_is_refused_by_name(covseg_data, tmp_path):
    whole = (covseg_data / "dicom" / "lung_dx_a0002" / "1-01.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:1000])
    assert "cut.dcm cannot be read as DICOM" in refusal(tmp_path)


@pytest.mark.parametrize(("rows", "columns"), [(ROWS - 1, COLUMNS), (ROWS, COLUMNS - 1), (COLUMNS, COLUMNS)])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_pixels_that_are_more_than_rows_and_columns_say_are_not_cut_off(tmp_path, rows, columns, syntax):
    folder = series_in(tmp_path / "case", all_slices(Rows=rows, Columns=columns))
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(path, image, implicit_vr=syntax.is_implicit_VR, little_endian=True, force_encoding=True)
    with pytest.raises(ValueError, match=r"\.dcm (is damaged: .* pixels, as it says|cannot be read)"):
        read_series(folder)


def test_frames_that_are_more_than_rows_and_columns_say_are_not_cut_off(tmp_path):
    def narrow(image):
        image.Rows = ROWS - 1

    with pytest.raises(ValueError, match=r"ct\.dcm is damaged: 5 × 5 pixels, as it says, take 200 bytes"):
        read_series(enhanced_in(tmp_path / "ct.dcm", change=narrow))
