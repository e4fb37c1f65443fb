"""Whatever the shape, number type and direction: file, scan and file again say the same place in millimetres,
and so do SimpleITK and nibabel when they read the same file."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from napari_covseg.io import read_labels, read_volume, write_labels, write_volume
from napari_covseg.io.dicom import read_series
from napari_covseg.volume import Geometry, LabelMap, reoriented

from .series import numbers, series_in

PLACE_MM = 2e-3
"""Corners agree this well; NIfTI keeps its numbers in float32."""

DTYPES = st.sampled_from([np.int16, np.uint16, np.int32, np.float32, np.float64])
quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
thorough = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def affines(draw):
    """A grid turned along the axes of the patient in any of the 48 ways, or oblique, or both."""
    turn = np.eye(3)[list(draw(st.permutations(range(3))))] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    if draw(st.booleans()):
        angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
        turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ turn
    affine = np.eye(4)
    affine[:3, :3] = turn * draw(st.tuples(*[st.floats(0.3, 10)] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-800, 800)] * 3))
    return affine


@st.composite
def scans(draw):
    """Voxels of any type that hold a chest's Hounsfield units, from air to bone."""
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3).filter(lambda shape: np.prod(shape) > 1))
    dtype = np.dtype(draw(DTYPES))
    hu = draw(hnp.arrays(np.int16, shape, elements=st.integers(-1000, 3000)))
    hu.flat[0], hu.flat[-1] = -1000, 400
    if dtype.kind == "f":
        return (hu + draw(st.sampled_from([0, 0.25]))).astype(dtype)
    return hu.astype(dtype) if dtype.kind == "i" else (hu + 1024).astype(dtype)


def corners(shape):
    return list(product(*((0, n - 1) for n in shape)))


def places_in_simpleitk(image):
    lps = [image.TransformIndexToPhysicalPoint([int(i) for i in corner]) for corner in corners(image.GetSize())]
    return np.array(lps) * (-1, -1, 1)


def check_nifti(voxels, affine, suffix, form):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"case{suffix}"
        image = nib.Nifti1Image(voxels, affine)
        image.set_sform(affine, code=1 if form != "qform" else 0)
        image.set_qform(affine, code=1 if form != "sform" else 0)
        if voxels.dtype.kind == "u":
            image.header["scl_slope"], image.header["scl_inter"] = 1, -1024
            image.to_filename(path)
            _set_scale(path, 1, -1024)
        else:
            image.to_filename(path)
        scan, by_nibabel, by_itk = read_volume(path), nib.load(path), sitk.ReadImage(path)
        np.testing.assert_allclose(scan.hu, by_nibabel.get_fdata(), atol=1e-3)
        np.testing.assert_allclose(scan.hu.transpose(2, 1, 0), sitk.GetArrayFromImage(by_itk), atol=1e-3)
        by_affine = nib.affines.apply_affine(by_nibabel.affine, corners(scan.hu.shape))
        np.testing.assert_allclose(scan.geometry.corners_mm(), by_affine, atol=1e-9)
        np.testing.assert_allclose(scan.geometry.corners_mm(), places_in_simpleitk(by_itk), atol=PLACE_MM)
        check_written(scan, Path(folder))


def check_written(scan, folder):
    """What is written of a scan is where the scan is, for this program, SimpleITK and nibabel."""
    written = write_volume(scan, folder / "again.nii.gz")
    again = read_volume(written)
    np.testing.assert_array_equal(again.hu, scan.hu)
    assert again.geometry.same_grid(scan.geometry)
    values = (np.abs(scan.hu.astype(np.int32)) % 5).astype(np.uint8)
    lesion = write_labels(LabelMap(values, scan.geometry), folder / "lesion.nii.gz")
    assert read_labels(lesion).geometry.same_grid(scan.geometry)
    for path in (written, lesion):
        by_itk, by_nibabel = sitk.ReadImage(path), nib.load(path)
        np.testing.assert_allclose(places_in_simpleitk(by_itk), scan.geometry.corners_mm(), atol=PLACE_MM)
        by_affine = nib.affines.apply_affine(by_nibabel.affine, corners(scan.hu.shape))
        np.testing.assert_allclose(by_affine, scan.geometry.corners_mm(), atol=PLACE_MM)
    np.testing.assert_array_equal(np.asarray(nib.load(lesion).dataobj), values)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(lesion)), values.transpose(2, 1, 0))


def _set_scale(path, slope, offset):
    import gzip
    import struct

    content = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    content[112:120] = struct.pack("<ff", slope, offset)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def check_itk(voxels, affine, suffix, compressed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"case{suffix}"
        sitk.WriteImage(_itk_image(voxels, affine), path, compressed)
        scan, by_itk = read_volume(path), sitk.ReadImage(path)
        np.testing.assert_array_equal(scan.hu.transpose(2, 1, 0), sitk.GetArrayFromImage(by_itk).astype(scan.hu.dtype))
        np.testing.assert_allclose(scan.geometry.corners_mm(), places_in_simpleitk(by_itk), atol=1e-6)
        check_written(scan, Path(folder))


def _itk_image(voxels, affine):
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    lps = np.diag([-1, -1, 1]) @ affine[:3]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:, 3].tolist())
    return image


def check_dicom(angles, gap_mm, count, origin):
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()

    def change(index):
        return {"ImagePositionPatient": numbers(np.array(origin) + turn[:, 2] * gap_mm * index)}

    with tempfile.TemporaryDirectory() as folder:
        series = series_in(Path(folder) / "case", change, turn=turn, count=count, gap_mm=gap_mm)
        scan = read_series(series)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
        by_itk = reader.Execute()
        np.testing.assert_array_equal(scan.hu.transpose(2, 1, 0), sitk.GetArrayFromImage(by_itk))
        np.testing.assert_allclose(scan.geometry.corners_mm(), places_in_simpleitk(by_itk), atol=PLACE_MM)
        check_written(scan, Path(folder))


NIFTI = {"suffix": st.sampled_from([".nii", ".nii.gz"]), "form": st.sampled_from(["sform", "qform", "both"])}
ITK = {"suffix": st.sampled_from([".nrrd", ".nhdr", ".mha", ".mhd"]), "compressed": st.booleans()}
DICOM = {
    "angles": st.tuples(*[st.floats(-180, 180)] * 3),
    "gap_mm": st.floats(0.5, 10),
    "count": st.integers(2, 5),
    "origin": st.tuples(*[st.floats(-500, 500)] * 3),
}


@quick
@given(voxels=scans(), affine=affines(), **NIFTI)
def test_nifti_is_where_nibabel_and_simpleitk_say(voxels, affine, suffix, form):
    check_nifti(voxels, affine, suffix, form)


@quick
@given(voxels=scans().filter(lambda v: v.dtype != np.uint16), affine=affines(), **ITK)
def test_nrrd_and_metaimage_are_where_simpleitk_says(voxels, affine, suffix, compressed):
    check_itk(voxels, affine, suffix, compressed)


@quick
@given(**DICOM)
def test_dicom_is_where_simpleitk_says(angles, gap_mm, count, origin):
    check_dicom(angles, gap_mm, count, origin)


@pytest.mark.slow
@thorough
@given(voxels=scans(), affine=affines(), **NIFTI)
def test_nifti_is_where_others_say_thoroughly(voxels, affine, suffix, form):
    check_nifti(voxels, affine, suffix, form)


@pytest.mark.slow
@thorough
@given(voxels=scans().filter(lambda v: v.dtype != np.uint16), affine=affines(), **ITK)
def test_nrrd_and_metaimage_are_where_others_say_thoroughly(voxels, affine, suffix, compressed):
    check_itk(voxels, affine, suffix, compressed)


@pytest.mark.slow
@thorough
@given(**DICOM)
def test_dicom_is_where_others_say_thoroughly(angles, gap_mm, count, origin):
    check_dicom(angles, gap_mm, count, origin)


@quick
@given(voxels=scans(), affine=affines())
def test_in_reading_order_every_voxel_keeps_its_millimetres(voxels, affine):
    from napari_covseg.volume import Volume

    scan = Volume(voxels, Geometry(voxels.shape, affine))
    view = reoriented(scan)
    assert np.shares_memory(view.hu, scan.hu)
    index = np.array(corners(view.hu.shape))
    at_home = np.rint(apply_affine(np.linalg.inv(scan.geometry.affine), view.geometry.to_mm(index))).astype(int)
    np.testing.assert_array_equal(view.hu[tuple(index.T)], voxels[tuple(at_home.T)])
    steps = view.geometry.affine[:3, :3]
    assert np.linalg.norm(steps[:, 0]) == pytest.approx(view.geometry.spacing_mm[0])
    assert view.geometry.orientation == "IPL"
