from __future__ import annotations

import gzip
import struct
import time

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_covseg.io import nifti_out
from napari_covseg.io.nifti import read_labels, read_volume
from napari_covseg.io.nifti_out import write_labels
from napari_covseg.volume import AIR_HU, LUNGS, Geometry, LabelMap

SHAPE = (5, 4, 3)
SCL_SLOPE = slice(112, 120)


def oblique(seed=0):
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * rng.uniform(0.4, 5, 3)
    affine[:3, 3] = rng.normal(size=3) * 200
    return affine


def sheared():
    affine = oblique()
    affine[:3, 2] += 0.3 * affine[:3, 1]
    return affine


def in_file(path, affine, form, voxels=None, endianness="<", slope=1.0, intercept=0.0):
    """Write a scan as other programs do: with an sform, a qform or both, in either byte order, scaled or not."""
    voxels = np.arange(60, dtype=np.int16).reshape(SHAPE) if voxels is None else voxels
    header = nib.Nifti1Header(endianness=endianness)
    header.set_data_shape(voxels.shape)
    header.set_data_dtype(voxels.dtype.newbyteorder(endianness))
    if form in ("qform", "both"):
        header.set_qform(affine, code=1)
    if form in ("sform", "both"):
        header.set_sform(affine, code=2)
    file = bytearray(nib.Nifti1Image(voxels, header.get_best_affine(), header).to_bytes())
    file[SCL_SLOPE] = struct.pack(endianness + "ff", slope, intercept)
    path.write_bytes(gzip.compress(file) if path.name.endswith(".gz") else file)
    return path


def labels_on_scan(scan):
    values = np.random.default_rng(3).integers(0, 5, scan.hu.shape).astype(np.uint8)
    return LabelMap(values, scan.geometry)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.int32, np.float64, np.uint16])
def test_a_scan_is_read_native_in_fortran_order_as_int16_or_float32(tmp_path, suffix, endianness, dtype):
    voxels = np.arange(60).reshape(SHAPE).astype(dtype)
    path = in_file(tmp_path / f"case{suffix}", oblique(), "sform", voxels, endianness)
    scan = read_volume(path)
    assert scan.hu.dtype == (np.int16 if dtype in (np.int16, np.uint8) else np.float32)
    assert scan.hu.dtype.isnative
    assert scan.hu.flags.f_contiguous
    assert scan.name == "case"
    np.testing.assert_array_equal(scan.hu, voxels)
    np.testing.assert_array_equal(scan.geometry.affine, nib.load(path).affine)


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (2.0, 0.0), (0.5, -1000.25)])
def test_a_scale_in_the_header_is_applied(tmp_path, endianness, slope, intercept):
    voxels = np.arange(60, dtype=np.int16).reshape(SHAPE)
    path = in_file(tmp_path / "case.nii.gz", oblique(), "sform", voxels, endianness, slope, intercept)
    scan = read_volume(path)
    np.testing.assert_allclose(scan.hu, voxels * slope + intercept)
    assert scan.hu.dtype == np.float32
    assert scan.hu.flags.f_contiguous


@pytest.mark.parametrize("slope", [0.0, float("nan"), 1.0])
def test_a_scale_that_means_none_leaves_int16(tmp_path, slope):
    scan = read_volume(in_file(tmp_path / "case.nii", oblique(), "sform", slope=slope))
    assert scan.hu.dtype == np.int16
    assert scan.hu.max() == 59


def test_voxels_without_a_value_are_air(tmp_path):
    voxels = np.zeros(SHAPE, np.float32)
    voxels[0, 0, 0] = np.nan
    scan = read_volume(in_file(tmp_path / "case.nii", oblique(), "sform", voxels))
    assert scan.hu[0, 0, 0] == AIR_HU
    assert scan.hu.sum() == AIR_HU


def test_a_scan_does_not_change_when_its_file_does(tmp_path):
    path = in_file(tmp_path / "case.nii", oblique(), "sform")
    scan = read_volume(path)
    path.write_bytes(b"")
    assert scan.hu.sum() == np.arange(60).sum()


@pytest.mark.parametrize("form", ["sform", "qform", "both"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_label_map_reports_the_very_affine_of_its_scan(tmp_path, form, seed, suffix):
    scan_path = in_file(tmp_path / "case.nii", oblique(seed), form)
    labels = labels_on_scan(read_volume(scan_path))
    written = nib.load(write_labels(labels, tmp_path / f"case_lesion{suffix}"))
    assert written.affine.tobytes() == nib.load(scan_path).affine.tobytes()
    assert written.get_data_dtype() == np.uint8
    assert written.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels.values)


def test_an_sform_of_float32_is_written_with_the_same_bytes(tmp_path):
    scan_path = in_file(tmp_path / "case.nii", oblique(), "sform")
    write_labels(labels_on_scan(read_volume(scan_path)), tmp_path / "lesion.nii")
    rows = slice(280, 328)  # srow_x, srow_y, srow_z
    assert (tmp_path / "lesion.nii").read_bytes()[rows] == scan_path.read_bytes()[rows]


def test_a_scan_along_the_axes_gets_both_forms_and_they_agree(tmp_path):
    scan = read_volume(in_file(tmp_path / "case.nii", np.diag([-0.75, -0.75, 5, 1]), "qform"))
    header = nib.load(write_labels(labels_on_scan(scan), tmp_path / "lesion.nii")).header
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    np.testing.assert_array_equal(header.get_sform(), header.get_qform())


def test_an_affine_only_a_qform_can_say_is_said_by_the_qform_alone(tmp_path):
    scan = read_volume(in_file(tmp_path / "case.nii", oblique(), "qform"))
    header = nib.load(write_labels(labels_on_scan(scan), tmp_path / "lesion.nii")).header
    assert (header["sform_code"], header["qform_code"]) == (0, 1)


def test_a_sheared_affine_counts_in_the_sform_only(tmp_path):
    scan_path = in_file(tmp_path / "case.nii", sheared(), "sform")
    written = nib.load(write_labels(labels_on_scan(read_volume(scan_path)), tmp_path / "lesion.nii"))
    assert (written.header["sform_code"], written.header["qform_code"]) == (1, 0)
    assert written.affine.tobytes() == nib.load(scan_path).affine.tobytes()
    np.testing.assert_allclose(written.header.get_zooms(), read_labels(tmp_path / "lesion.nii").geometry.spacing_mm)


@pytest.mark.parametrize("affine", [oblique(7), sheared(), np.diag([1 / 3, 0.1, 2.7, 1])])
def test_an_affine_made_in_float64_is_rounded_to_float32(tmp_path, affine):
    labels = LabelMap(np.ones(SHAPE, np.uint8), Geometry(SHAPE, affine))
    read = read_labels(write_labels(labels, tmp_path / "lesion.nii.gz"))
    np.testing.assert_array_equal(read.geometry.affine, affine.astype(np.float32))
    assert read.geometry.same_grid(labels.geometry)


@pytest.mark.parametrize(("offset_mm", "is_held"), [(1000.0001, True), (100000.003, False)])
def test_a_place_float32_cannot_hold_within_the_tolerance_is_not_saved(tmp_path, offset_mm, is_held):
    affine = np.eye(4)
    affine[0, 3] = offset_mm
    labels = LabelMap(np.ones(SHAPE, np.uint8), Geometry(SHAPE, affine))
    if is_held:
        write_labels(labels, tmp_path / "lesion.nii")
    else:
        with pytest.raises(OSError, match="was not saved"):
            write_labels(labels, tmp_path / "lesion.nii")
    assert len(list(tmp_path.iterdir())) == is_held


def test_the_same_labels_give_the_same_bytes_later_and_under_another_name(tmp_path):
    labels = LabelMap(np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8), Geometry(SHAPE, oblique()))
    one = write_labels(labels, tmp_path / "one.nii.gz").read_bytes()
    time.sleep(1.1)  # gzip counts seconds
    turned = LabelMap(np.asfortranarray(labels.values), labels.geometry)
    assert write_labels(turned, tmp_path / "another.nii.gz").read_bytes() == one
    assert write_labels(labels, tmp_path / "plain.nii").read_bytes() == gzip.decompress(one)


def test_the_values_survive_whatever_their_memory_order(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (3, 5, 4)).astype(np.uint8).transpose(1, 2, 0)[:, ::-1]
    labels = LabelMap(values, Geometry(SHAPE, oblique()))
    read = read_labels(write_labels(labels, tmp_path / "lesion.nii.gz"), LUNGS)
    np.testing.assert_array_equal(read.values, values)
    assert read.values.flags.f_contiguous
    assert read.scheme is LUNGS
    assert read.provenance.source == "lesion.nii.gz"


def test_what_is_read_back_differently_is_not_saved_and_the_old_file_stays(tmp_path):
    target = write_labels(LabelMap(np.zeros(SHAPE, np.uint8), Geometry(SHAPE, np.eye(4))), tmp_path / "lesion.nii")
    before = target.read_bytes()
    meant = LabelMap(np.ones(SHAPE, np.uint8), Geometry(SHAPE, np.eye(4)))
    header = nifti_out._header(meant.geometry, np.dtype(np.uint8))
    with pytest.raises(OSError, match="was not saved"):
        nifti_out._check(read_labels(target), meant, header, target)
    moved = meant.with_voxels(np.zeros(SHAPE, np.uint8), Geometry(SHAPE, np.diag([1, 1, 1.01, 1])))
    with pytest.raises(OSError, match="was not saved"):
        nifti_out._check(read_labels(target), moved, nifti_out._header(moved.geometry, np.dtype(np.uint8)), target)
    assert target.read_bytes() == before


@pytest.mark.parametrize("name", ["lesion.nrrd", "lesion", "lesion.gz"])
def test_labels_are_not_written_under_a_name_that_is_not_nifti(tmp_path, name):
    with pytest.raises(ValueError, match=r"end in \.nii\.gz"):
        write_labels(LabelMap(np.zeros(SHAPE, np.uint8), Geometry(SHAPE, np.eye(4))), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_labels_are_read_from_any_number_type(tmp_path, dtype, endianness):
    voxels = (np.arange(60).reshape(SHAPE) % 5).astype(dtype)
    labels = read_labels(in_file(tmp_path / "lesion.nii.gz", oblique(), "sform", voxels, endianness))
    assert labels.values.dtype == np.uint8
    np.testing.assert_array_equal(labels.values, voxels)


def test_labels_stored_with_a_scale_come_back_whole(tmp_path):
    voxels = (np.arange(60).reshape(SHAPE) % 4 * 85).astype(np.uint8)
    labels = read_labels(in_file(tmp_path / "lesion.nii", oblique(), "sform", voxels, slope=3 / 255))
    np.testing.assert_array_equal(labels.values, voxels // 85)


@pytest.mark.parametrize("value", [0.0, 255.0, 1.0005, 2.9995])
def test_values_that_are_as_good_as_whole_are_labels(tmp_path, value):
    voxels = np.full(SHAPE, value, np.float32)
    labels = read_labels(in_file(tmp_path / "lesion.nii", oblique(), "sform", voxels))
    assert (labels.values == round(value)).all()


@pytest.mark.parametrize("value", [-1.0, 256.0, 1.002, 0.5, np.nan, np.inf])
def test_values_that_are_not_whole_numbers_of_a_byte_are_no_labels(tmp_path, value):
    voxels = np.zeros(SHAPE, np.float32)
    voxels[1, 1, 1] = value
    with pytest.raises(ValueError, match="is not a label map"):
        read_labels(in_file(tmp_path / "lesion.nii", oblique(), "sform", voxels))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_that_ends_too_early_is_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(-999, 999, (20, 20, 20)).astype(np.int16)
    path = in_file(tmp_path / f"case{suffix}", oblique(), "sform", noise)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(
        ValueError, match=r"case\.nii.* ends before its last voxel or is damaged; copy or export it again"
    ):
        read_volume(path)


def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path):
    bad = tmp_path / "bad.nii"
    for content in (b"", b"not an image", b"\0" * 400):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.nii cannot be read as NIfTI"):
            read_volume(bad)
    with pytest.raises(ValueError, match="There is no file"):
        read_volume(tmp_path / "none.nii")
    file = bytearray(in_file(tmp_path / "good.nii", oblique(), "sform").read_bytes())
    file[70:72] = struct.pack("<h", 7777)  # a number type nobody knows
    bad.write_bytes(file)
    with pytest.raises(ValueError, match=r"bad\.nii"):
        read_volume(bad)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3, 2)])
def test_images_without_three_axes_are_refused(tmp_path, shape):
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / "case.nii")
    with pytest.raises(ValueError, match=f"has {len(shape)} axes"):
        read_volume(tmp_path / "case.nii")


@pytest.mark.parametrize("dtype", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_colours_and_complex_numbers_are_no_scan(tmp_path, dtype):
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, dtype), np.eye(4)), tmp_path / "case.nii")
    with pytest.raises(ValueError, match="not Hounsfield units"):
        read_volume(tmp_path / "case.nii")


def test_a_real_scan_and_its_labels_share_a_grid_and_survive_a_round_trip(covseg_data, tmp_path):
    scan_path = covseg_data / "volumes" / "lesion_9_ct.nii.gz"
    scan = read_volume(scan_path)
    labels = read_labels(covseg_data / "volumes" / "lesion_9_lesion.nii.gz")
    assert labels.geometry.same_grid(scan.geometry)
    assert scan.hu.dtype == np.int16
    again = write_labels(labels.with_voxels(labels.values, scan.geometry), tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(read_labels(again).values, labels.values)
    assert nib.load(again).affine.tobytes() == nib.load(scan_path).affine.tobytes()
