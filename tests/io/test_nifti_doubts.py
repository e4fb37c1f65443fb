"""NIfTI files that say too little, too much, or something that cannot be."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.io.nifti import read_volume
from napari_covseg.io.nifti_out import write_volume
from napari_covseg.volume import AIR_HU, Geometry, Volume

SHAPE = (6, 5, 4)
AFFINE = np.diag([-0.7, -0.7, 2.0, 1.0])
HU = np.random.default_rng(0).integers(-1000, 500, SHAPE).astype(np.int16)


def in_file(path, voxels=HU, sform=AFFINE, qform=AFFINE, **header_values):
    header = nib.Nifti1Header()
    header.set_data_shape(voxels.shape)
    header.set_data_dtype(voxels.dtype)
    header.set_xyzt_units("mm")
    image = nib.Nifti1Image(voxels, None, header)
    image.header.set_qform(AFFINE if qform is None else qform, code=0 if qform is None else 1)
    image.header.set_sform(None if sform is None else sform, code=0 if sform is None else 1)
    for name, value in header_values.items():
        image.header[name] = value
    content = image.to_bytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def notes(path):
    return read_volume(path).notes


def test_of_a_sound_file_nothing_is_said(tmp_path):
    assert notes(in_file(tmp_path / "case.nii.gz")) == ()
    assert notes(in_file(tmp_path / "case.nii", qform=None)) == ()
    assert notes(in_file(tmp_path / "case.nii", sform=None)) == ()


@pytest.mark.parametrize(("moved_mm", "is_said"), [(0.09, False), (0.11, True), (5.0, True)])
def test_two_forms_that_disagree_are_said(tmp_path, moved_mm, is_said):
    elsewhere = AFFINE.copy()
    elsewhere[2, 3] += moved_mm
    path = in_file(tmp_path / "case.nii", qform=elsewhere)
    assert any("says twice where it is" in note for note in notes(path)) is is_said
    np.testing.assert_allclose(read_volume(path).geometry.affine, AFFINE, atol=1e-6)


def test_a_file_with_neither_form_is_said(tmp_path):
    (note,) = notes(in_file(tmp_path / "case.nii", sform=None, qform=None))
    assert "neither sform nor qform" in note
    assert "left and right" in note


def test_a_voxel_size_that_is_not_the_forms_is_said(tmp_path):
    (note,) = notes(in_file(tmp_path / "case.nii", qform=None, pixdim=[1, 0.7, 0.7, 3, 0, 0, 0, 0]))
    assert "0.7 × 0.7 × 3 mm" in note


@pytest.mark.parametrize(("code", "mm"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
@pytest.mark.parametrize("is_placed", [True, False])
def test_lengths_in_metres_and_microns_are_converted_and_said(tmp_path, code, mm, is_placed):
    affine = np.diag([1 / mm] * 3 + [1]) @ AFFINE
    forms = {"sform": affine, "qform": affine} if is_placed else {"sform": None, "qform": None}
    path = in_file(tmp_path / "a.nii", xyzt_units=code, **forms)
    if not is_placed:
        content = bytearray(path.read_bytes())
        content[80:92] = struct.pack("<3f", *np.abs(np.diag(affine)[:3]))
        path.write_bytes(content)
    scan = read_volume(path)
    assert scan.geometry.spacing_mm == pytest.approx((0.7, 0.7, 2.0))
    assert any("converted to mm" in note for note in scan.notes) is (mm != 1)


@pytest.mark.parametrize(("code", "is_said"), [(0, False), (1, True), (2, False), (3, True), (5, True)])
def test_lengths_in_a_unit_that_they_cannot_have_are_taken_for_millimetres_and_said(tmp_path, code, is_said):
    scan = read_volume(in_file(tmp_path / "a.nii", xyzt_units=code))
    assert scan.geometry.spacing_mm == pytest.approx((0.7, 0.7, 2.0))
    assert any("not in millimetres" in note for note in scan.notes) is is_said


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_scale_that_is_no_number_is_said(tmp_path, number, suffix):
    content = bytearray(in_file(tmp_path / "a.nii").read_bytes())
    content[112:116] = struct.pack("<f", number)
    path = tmp_path / f"b{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    (note,) = notes(path)
    assert "how its values are scaled" in note


def test_what_nibabel_puts_right_is_said_and_not_printed(tmp_path, capfd):
    path = in_file(tmp_path / "case.nii")
    content = bytearray(path.read_bytes())
    content[0:4] = struct.pack("<i", 349)
    path.write_bytes(content)
    (note,) = notes(path)
    assert "damaged" in note
    assert "sizeof_hdr" in note
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("slope", "offset", "is_said"), [(1, -1024, False), (2, 0, True), (1, -3, True)])
def test_an_unusual_scale_is_said(tmp_path, slope, offset, is_said):
    path = in_file(tmp_path / "case.nii")
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<ff", slope, offset)
    path.write_bytes(content)
    assert any("scaled" in note for note in notes(path)) is is_said


@pytest.mark.parametrize("shape", [(4, 4, 3, 2), (4, 4, 3, 1, 2)])
def test_a_film_is_refused_and_a_fourth_axis_of_one_is_not(tmp_path, shape):
    path = in_file(tmp_path / "case.nii", np.zeros(shape, np.int16))
    with pytest.raises(ValueError, match=rf"case\.nii has {len(shape)} axes; .* export one of its images alone"):
        read_volume(path)
    one = read_volume(in_file(tmp_path / "one.nii.gz", HU[..., None]))
    np.testing.assert_array_equal(one.hu, HU)
    assert one.hu.flags.f_contiguous


def test_a_singular_affine_is_refused_by_name(tmp_path):
    path = in_file(tmp_path / "case.nii", sform=np.diag([1.0, 1, 0, 1]), qform=None)
    with pytest.raises(ValueError, match=r"case\.nii cannot be placed: .* two of its axes coincide; convert it again"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_outside_the_field_of_view_no_number_is_air_and_said(tmp_path, suffix):
    hu = HU.astype(np.float32)
    hu[0, :, 1], hu[1, 0, 1] = np.nan, np.nan
    scan = read_volume(in_file(tmp_path / f"case{suffix}", hu))
    assert (scan.hu[0, :, 1] == AIR_HU).all()
    assert scan.hu[1, 0, 1] == AIR_HU
    np.testing.assert_array_equal(scan.hu[2:], HU[2:])
    assert "6 voxels without a number" in scan.notes[0]


@pytest.mark.parametrize("where", [(2, 2, 1), (slice(None), slice(None), 2)])
def test_inside_the_scan_no_number_is_refused(tmp_path, where):
    hu = HU.astype(np.float64)
    hu[where] = np.nan
    with pytest.raises(ValueError, match=r"case\.nii has voxels without a number \(NaN\) inside"):
        read_volume(in_file(tmp_path / "case.nii", hu))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_that_goes_on_after_its_last_voxel_is_refused(tmp_path, suffix):
    path = in_file(tmp_path / f"case{suffix}")
    content = path.read_bytes()
    path.write_bytes(gzip.compress(gzip.decompress(content) + b"\0\0") if suffix.endswith("gz") else content + b"\0\0")
    with pytest.raises(ValueError, match="goes on after its last voxel"):
        read_volume(path)


def test_a_byte_changed_in_a_compressed_file_is_noticed(tmp_path):
    noise = np.random.default_rng(0).integers(-999, 999, (30, 30, 30)).astype(np.int16)
    path = in_file(tmp_path / "case.nii.gz", noise)
    content = path.read_bytes()
    for place in (len(content) // 2, len(content) - 6):  # in the voxels, in the checksum
        broken = bytearray(content)
        broken[place] ^= 0x10
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"case\.nii\.gz .*damaged"):
            read_volume(path)


def test_a_header_that_promises_the_world_is_refused_before_memory_is_asked_for(tmp_path):
    content = bytearray(in_file(tmp_path / "case.nii").read_bytes())
    content[42:48] = struct.pack("<hhh", 32000, 32000, 30000)
    path = tmp_path / "case.nii.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="ends before its last voxel or is damaged"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_scan_is_written_and_read_back(tmp_path, suffix, dtype):
    scan = Volume(HU.astype(dtype), Geometry(SHAPE, AFFINE), "case")
    again = read_volume(write_volume(scan, tmp_path / f"case{suffix}"))
    np.testing.assert_array_equal(again.hu, scan.hu)
    assert (again.hu.dtype, again.notes) == (dtype, ())
    assert again.geometry.same_grid(scan.geometry)
    assert again.sha256 == scan.sha256
    with pytest.raises(ValueError, match="let it end in"):
        write_volume(scan, tmp_path / "case.nrrd")


def test_a_second_form_that_is_no_place_is_said_without_a_distance(tmp_path):
    path = in_file(tmp_path / "case.nii")
    head = bytearray(path.read_bytes())
    head[256:268] = struct.pack("<3f", 0.9, 0.9, 0.9)  # quatern_b, c, d: longer than any turn
    path.write_bytes(head)
    (said,) = [note for note in notes(path) if "twice" in note]
    assert said == "case.nii says twice where it is, and the qform is no place at all; the sform was used."
