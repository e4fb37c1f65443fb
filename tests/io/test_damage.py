"""Damage that no checksum tells: what stands out is said, and nothing is said of real scans as they are."""

from __future__ import annotations

import gzip
from pathlib import Path

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it
from pydicom.uid import JPEG2000Lossless
from scipy import ndimage

from napari_covseg.io import Stated, read_volume
from napari_covseg.io.rows import broken_off
from napari_covseg.io.stray import doubt_about_voxels
from napari_covseg.volume import Geometry

from .series import all_slices, series_in

SHAPE = (40, 36, 12)
LPS = np.diag([-0.7, -0.7, 2.5, 1.0])


def chest(noise_hu=15.0, seed=0):
    """Soft tissue around lung around a vessel, as blurred as a scanner blurs it, with noise; (I, J, K) int16."""
    i, j, _ = np.indices(SHAPE)
    hu = np.where((i - 20) ** 2 + (j - 18) ** 2 < 150, -850.0, 50.0)
    hu[(i - 20) ** 2 + (j - 18) ** 2 < 4] = 80
    hu = ndimage.gaussian_filter(hu, (0.8, 0.8, 0))
    return np.asfortranarray((hu + np.random.default_rng(seed).normal(0, noise_hu, SHAPE)).astype(np.int16))


def in_file(path, hu, affine=LPS):
    nib.save(nib.Nifti1Image(hu, affine), path)
    return path


def notes_of(path, **stated):
    return " ".join(read_volume(path, Stated(**stated)).notes)


@pytest.mark.parametrize("noise_hu", [0, 15, 60])
def test_a_scan_with_noise_and_edges_is_said_to_be_sound(tmp_path, noise_hu):
    assert notes_of(in_file(tmp_path / "case.nii", chest(noise_hu))) == ""


@pytest.mark.parametrize("at", [(20, 3, 5), (0, 0, 0), (39, 35, 11), (20, 18, 2)])
@pytest.mark.parametrize("hu", [12000, -20000, 2600])
def test_a_voxel_with_another_high_byte_is_said_with_its_slice(tmp_path, at, hu):
    voxels = chest()
    voxels[at] = hu
    assert f"1 voxel stands out from all around (the first on slice {SHAPE[2] - at[2]})" in notes_of(
        in_file(tmp_path / "case.nii", voxels)
    )


def test_more_damaged_voxels_than_noise_is_measured_by_are_said(tmp_path):
    voxels = chest()
    voxels[::5, ::5, ::3] = 9000
    assert "voxels stand out from all around" in notes_of(in_file(tmp_path / "case.nii", voxels))


def test_a_clip_of_metal_is_no_damage(tmp_path):
    voxels = chest().astype(float)
    voxels[20:22, 4:6, 5] += 9000
    voxels[..., 5] = ndimage.gaussian_filter(voxels[..., 5], 0.6)
    assert notes_of(in_file(tmp_path / "case.nii", voxels.astype(np.int16))) == ""


def test_a_voxel_between_the_steps_of_all_others_is_said_and_a_cut_off_range_is_not(tmp_path):
    voxels = chest() // 8 * 8
    cut_off = np.clip(voxels, -850, 60)
    assert notes_of(in_file(tmp_path / "cut.nii", cut_off)) == ""
    voxels[7, 9, 2] += 3
    assert "1 voxel lies between the steps of 8" in notes_of(in_file(tmp_path / "case.nii", voxels))


def test_fractions_of_a_unit_are_looked_at_as_well():
    voxels = chest().astype(np.float32)
    assert doubt_about_voxels(voxels, Geometry(SHAPE, LPS), "case") == ()
    voxels[3, 4, 5] = 1e5
    assert "stands out" in doubt_about_voxels(voxels, Geometry(SHAPE, LPS), "case")[0]


def test_nothing_stands_out_in_real_scans(covseg_data):
    for path in [*sorted((covseg_data / "volumes").glob("*_ct.nii.gz")), covseg_data / "dicom" / "lung_dx_a0002"]:
        scan = read_volume(path)
        assert scan.notes == ()
        planes = scan.hu.transpose(2, 1, 0)
        assert broken_off(planes) == []
        assert broken_off(planes[::4]) == []
        for apart in (2, 3, 4):  # as where a converter leaves out columns
            thinned = scan.hu[::apart, ::apart]
            assert doubt_about_voxels(thinned, Geometry(thinned.shape, scan.geometry.affine), "case") == ()


def test_damage_is_found_in_real_dicom_slices_that_are_compressed(covseg_data, tmp_path):
    for file in sorted((covseg_data / "dicom" / "lung_dx_a0002").iterdir())[:4]:
        image = pydicom.dcmread(file)
        image.compress(JPEG2000Lossless, generate_instance_uid=False)
        image.save_as(tmp_path / file.name)
    assert read_volume(tmp_path).notes == ()
    pixels = bytearray(image.PixelData)
    pixels[len(pixels) // 50] ^= 0x55
    image.PixelData = bytes(pixels)
    image.save_as(tmp_path / file.name)
    assert file.name in " ".join(read_volume(tmp_path).notes)


def test_rows_that_are_shifted_or_scrambled_from_one_on_are_found():
    planes = chest().transpose(2, 1, 0).copy()
    assert broken_off(planes) == []
    planes[3, 20:] += 400
    planes[8, 15:] = np.random.default_rng(1).integers(-1000, 1000, planes[8, 15:].shape)
    assert broken_off(planes) == [3, 8]
    assert broken_off(planes[3:4]) == []


def extremes(index, wrong=None):
    stored = np.random.default_rng(index).integers(0, 2000, (6, 5)).astype(np.int16)
    low, high = int(stored.min()), int(stored.max())
    return {"SmallestImagePixelValue": low, "LargestImagePixelValue": high + (40 if index == wrong else 0)}


def test_a_slice_whose_extremes_are_not_those_it_states_is_said(tmp_path):
    assert "least and greatest" not in notes_of(series_in(tmp_path / "case", extremes))
    damaged = series_in(tmp_path / "damaged", lambda index: extremes(index, wrong=2), series_uid="1.2.3.4567")
    assert "Slices of damaged (4567-3.dcm) hold other least and greatest pixels" in notes_of(damaged)


def test_extremes_that_are_wrong_everywhere_mean_nothing(tmp_path):
    stale = all_slices(SmallestImagePixelValue=0, LargestImagePixelValue=7)
    assert "least and greatest" not in notes_of(series_in(tmp_path / "case", stale))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_changed_digit_of_a_long_number_is_said(tmp_path, suffix):
    path = tmp_path / f"case{suffix}"
    image = sitk.GetImageFromArray(chest().transpose(2, 1, 0).copy())
    image.SetSpacing((0.9769999980926514, 0.9769999980926514, 3.0))
    image.SetOrigin((float(np.float32(-48.85)), float(np.float32(-45.919)), 13.6))
    sitk.WriteImage(image, path)
    assert notes_of(path) == ""
    content = path.read_bytes()
    assert b"-48.849998474121094" in content
    path.write_bytes(content.replace(b"-48.849998474121094", b"-48.849998474721094"))
    assert "with a number that no program writes (-48.849998474721094)" in notes_of(path)


@pytest.mark.parametrize("spacing_mm", [(0.7, 7.0, 2.5), (0.7, 0.75, 2.5), (2.5, 2.5, 0.7)])
def test_pixels_that_are_not_square_are_doubted(tmp_path, spacing_mm):
    affine = np.diag([*spacing_mm, 1.0])
    assert "a CT's pixels are square" in notes_of(in_file(tmp_path / "case.nii", chest(), affine))


@pytest.mark.parametrize("spacing_mm", [(0.7, 0.7, 5), (5, 0.7, 0.7), (0.7, 5, 0.7), (1, 1, 1), (0.7004, 0.7, 3)])
def test_square_pixels_along_any_axis_are_not(tmp_path, spacing_mm):
    assert notes_of(in_file(tmp_path / "case.nii", chest(), np.diag([*spacing_mm, 1.0]))) == ""


def jpegs_in(folder: Path) -> list[Path]:
    grey = np.clip((chest().transpose(2, 1, 0) + 1000) / 1400 * 255, 0, 255).astype(np.uint8)
    files = [folder / f"slice{k}.jpg" for k in range(4)]
    for file, plane in zip(files, grey, strict=False):
        imageio.imwrite(file, plane)
    return files


def test_jpegs_that_libjpeg_complains_of_are_named(tmp_path, capfd):
    stated = {"window_hu": (-1000, 400), "spacing_mm": (0.7, 0.7, 2.5)}
    files = jpegs_in(tmp_path)
    assert "damaged" not in notes_of(tmp_path, **stated)
    content = files[2].read_bytes()
    files[2].write_bytes(content[:-2] + b"\x12\x34\x56" + content[-2:])
    assert "may be damaged (slice2.jpg)" in notes_of(tmp_path, **stated)
    assert capfd.readouterr() == ("", "")


def test_a_packed_file_is_looked_at_too(tmp_path):
    voxels = chest()
    voxels[5, 5, 5] = 20000
    path = tmp_path / "case.nii.gz"
    path.write_bytes(gzip.compress(in_file(tmp_path / "case.nii", voxels).read_bytes()))
    assert "stands out" in notes_of(path)


def in_order_of_storage(values):
    return np.resize(np.arange(values), SHAPE).astype(np.int16)


@pytest.mark.parametrize("voxels", [np.random.default_rng(0).random(SHAPE).astype(np.float32), in_order_of_storage(97)])
def test_grey_values_without_order_are_refused_and_not_asked_for_a_window(tmp_path, voxels):
    with pytest.raises(ValueError, match=r"case.nii holds numbers that do not follow from one voxel to the next"):
        read_volume(in_file(tmp_path / "case.nii", voxels), Stated(window_hu=(-1350, 150)))


def test_hounsfield_units_without_order_are_doubted(tmp_path):
    voxels = np.random.default_rng(0).integers(-1000, 400, SHAPE).astype(np.int16)
    assert "do not follow from one voxel to the next" in notes_of(in_file(tmp_path / "case.nii", voxels))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("count", [5, 104])
def test_maps_of_lobes_or_organs_are_masks(tmp_path, dtype, count):
    rng, labels = np.random.default_rng(3), np.zeros((96, 90, 24), dtype)
    for value in range(1, count + 1):
        first = [int(rng.integers(n - 12)) for n in labels.shape]
        labels[tuple(slice(at, at + 12) for at in first)] = value
    with pytest.raises(ValueError, match="is a label map"):
        read_volume(in_file(tmp_path / "case.nii", labels))
