"""NRRD and MetaImage, as SimpleITK and 3D Slicer write them, whole and broken."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it
from scipy.spatial.transform import Rotation

from napari_covseg.io import read_labels, read_volume
from napari_covseg.volume import AIR_HU

HU = np.random.default_rng(1).integers(-1000, 1500, (7, 6, 5)).astype(np.int16)  # z, y, x
TURN = Rotation.from_euler("xyz", (12, -7, 25), degrees=True).as_matrix()
SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")


def in_file(path, voxels=HU, compressed=False, turn=TURN):
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-120.5, 33.25, -400.0))
    image.SetDirection(turn.ravel())
    sitk.WriteImage(image, path, compressed)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64, np.int32])
def test_voxels_are_as_stored_and_where_simpleitk_says(tmp_path, suffix, compressed, dtype):
    path = in_file(tmp_path / f"case{suffix}", HU.astype(dtype), compressed)
    scan, image = read_volume(path), sitk.ReadImage(path)
    np.testing.assert_array_equal(scan.hu, HU.transpose(2, 1, 0))
    assert scan.hu.dtype == (np.int16 if dtype == np.int16 else np.float32)
    for corner in [(0, 0, 0), (4, 5, 6), (4, 0, 6)]:
        lps = np.array(image.TransformIndexToPhysicalPoint(corner))
        np.testing.assert_allclose(scan.geometry.to_mm(corner), lps * (-1, -1, 1), atol=1e-6)
    assert (scan.name, scan.notes) == ("case", ())


def test_the_voxels_outlive_the_reader(tmp_path):
    scans = [read_volume(in_file(tmp_path / f"{k}.nrrd", HU + k)) for k in range(20)]
    for k, scan in enumerate(scans):
        np.testing.assert_array_equal(scan.hu, (HU + k).transpose(2, 1, 0))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", [1, 60])
def test_a_file_that_ends_too_early_is_refused(tmp_path, suffix, compressed, cut):
    in_file(tmp_path / f"case{suffix}", compressed=compressed)
    voxels = max(tmp_path.iterdir(), key=lambda path: path.suffix in (".raw", ".gz", ".zraw", ".nrrd", ".mha"))
    voxels.write_bytes(voxels.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r"case\.\S+ ends before its last voxel or is damaged"):
        read_volume(tmp_path / f"case{suffix}")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_byte_changed_in_a_compressed_file_is_noticed(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(-999, 999, (30, 30, 30)).astype(np.int16)
    path = in_file(tmp_path / f"case{suffix}", noise, compressed=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read_volume(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_image_is_refused(tmp_path, suffix, capfd):
    path = tmp_path / f"case{suffix}"
    for content in (b"", b"NRRD0004\n", b"ObjectType = Image\nNDims = 3\n", b"\0" * 500, b"NRRD0005\ntype: short\n\n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"case\.\S+ cannot be read as \w+: it is damaged"):
            read_volume(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("suffix", "data"), [(".mhd", "case.raw"), (".nhdr", "case.raw")])
def test_a_header_without_its_voxels_is_refused(tmp_path, suffix, data):
    path = in_file(tmp_path / f"case{suffix}")
    (tmp_path / data).unlink()
    with pytest.raises(ValueError, match=rf"keeps its voxels in {data}, which is not beside it"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_films_and_colours_are_refused(tmp_path, suffix):
    path = tmp_path / f"case{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4, 5), np.int16), isVector=False), path)
    with pytest.raises(ValueError, match="has 4 axes"):
        read_volume(path)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True), path)
    with pytest.raises(ValueError, match="colours or several values"):
        read_volume(path)


def test_a_file_that_does_not_say_how_the_patient_lies_is_said(tmp_path):
    path = in_file(tmp_path / "case.nrrd", turn=np.eye(3))
    head, voxels = path.read_bytes().split(b"\n\n", 1)
    lines = [line for line in head.split(b"\n") if not line.startswith((b"space", b"measurement"))]
    path.write_bytes(b"\n".join([*lines, b"spacings: 0.7 0.8 2.5"]) + b"\n\n" + voxels)
    scan = read_volume(path)
    assert "left and right" in scan.notes[0]
    assert scan.geometry.spacing_mm == pytest.approx((0.7, 0.8, 2.5))


def test_no_number_outside_the_field_of_view_is_air_and_said(tmp_path):
    hu = HU.astype(np.float32)
    hu[3, 0] = np.nan
    scan = read_volume(in_file(tmp_path / "case.nrrd", hu))
    assert (scan.hu[:, 0, 3] == AIR_HU).all()
    assert "5 voxels without a number" in scan.notes[0]
    hu[3, 3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        read_volume(in_file(tmp_path / "case.nrrd", hu))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_label_maps_of_other_programs_are_read(tmp_path, suffix):
    values = (np.arange(HU.size).reshape(HU.shape) % 4).astype(np.uint8)
    labels = read_labels(in_file(tmp_path / f"case{suffix}", values))
    np.testing.assert_array_equal(labels.values, values.transpose(2, 1, 0))
    with pytest.raises(ValueError, match="is not a label map"):
        read_labels(in_file(tmp_path / f"scan{suffix}"))
    with pytest.raises(ValueError, match="There is no file"):
        read_labels(tmp_path / f"none{suffix}")
