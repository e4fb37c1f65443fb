"""NRRD and MetaImage, as SimpleITK and 3D Slicer write them, whole and broken."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it
from PIL import Image
from scipy.spatial.transform import Rotation

from napari_covseg.io import Stated, UnstatedError, read_labels, read_volume
from napari_covseg.volume import AIR_HU

from .itk_files import HU, by_hand

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
    assert scan.name == "case"
    assert all("a CT's pixels are square" in note for note in scan.notes)


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


def test_what_is_written_by_hand_opens_and_says_nothing(tmp_path):
    for name in ("case.nrrd", "case.mha"):
        scan = read_volume(by_hand(tmp_path / name))
        np.testing.assert_array_equal(scan.hu, HU.transpose(2, 1, 0))
        assert scan.geometry.spacing_mm == pytest.approx((0.7, 0.7, 2.5))
        assert scan.notes == ()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("case.nrrd", {"space_directions": None}),
        ("case.nrrd", {"space_directions": "(0.7,0,0) (0,0.7,0) none"}),
        ("case.nrrd", {"space_directions": None, "space": None, "space_origin": None}),
        ("case.nrrd", {"space_directions": None, "space": None, "space_origin": None, "spacings": "0.7 nan 2.5"}),
        ("case.mha", {"ElementSpacing": None}),
        ("case.mha", {"ElementSpacing": None, "elementspacing": "0.7 0.7 2.5"}),
    ],
)
def test_a_file_that_does_not_say_its_spacing_opens_only_with_a_stated_one(tmp_path, name, changes):
    path = by_hand(tmp_path / name, **changes)
    with pytest.raises(UnstatedError, match=r"case\.\w+ does not say how far its voxels are apart; state it") as asked:
        read_volume(path)
    assert asked.value.question == "spacing"
    scan = read_volume(path, Stated(spacing_mm=(0.6, 0.6, 5.0)))
    assert scan.geometry.spacing_mm == pytest.approx((0.6, 0.6, 5.0))
    assert "0.6 × 0.6 × 5 mm were stated" in scan.notes[0]
    with pytest.raises(ValueError, match="save it again with its spacing"):
        read_labels(path)


def test_a_stated_spacing_does_not_replace_the_files_own(tmp_path):
    scan = read_volume(by_hand(tmp_path / "case.mha"), Stated(spacing_mm=(9, 9, 9)))
    assert scan.geometry.spacing_mm == pytest.approx((0.7, 0.7, 2.5))
    assert "was not used" in scan.notes[0]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("case.nrrd", {"space_directions": "(0.07,0,0) (0,0.07,0) (0,0,0.25)", "space_units": '"cm" "cm" "cm"'}),
        ("case.mha", {"ElementSpacing": "0.07 0.07 0.25", "DistanceUnits": "cm"}),
        ("case.mha", {"ElementSpacing": "700 700 2500", "DistanceUnits": "um"}),
    ],
)
def test_lengths_in_another_unit_are_converted_and_said(tmp_path, name, changes):
    is_cm = "um" not in changes.values()
    origin = np.array([-120.5, 33.25, -400]) / 10 if is_cm else np.array([-120.5, 33.25, -400]) * 1000
    where = "({},{},{})".format(*origin) if name.endswith("nrrd") else "{} {} {}".format(*origin)
    scan = read_volume(by_hand(tmp_path / name, **changes, **{"space_origin" if "nrrd" in name else "Offset": where}))
    intact = read_volume(by_hand(tmp_path / f"intact-{name}"))
    assert scan.geometry.same_grid(intact.geometry)
    assert "they were converted to mm" in scan.notes[0]


@pytest.mark.parametrize("unit", ['"inch" "inch" "inch"', '"mm" "mm" "cm"'])
def test_units_that_nobody_can_convert_are_refused(tmp_path, unit):
    with pytest.raises(ValueError, match=r"case\.nrrd gives its lengths in .* convert it again with lengths in mm"):
        read_volume(by_hand(tmp_path / "case.nrrd", space_units=unit))


@pytest.mark.parametrize("space", ["scanner-xyz", "3D-left-handed", "3D-right-handed"])
def test_a_space_that_is_not_the_patients_is_refused(tmp_path, space):
    with pytest.raises(ValueError, match="nobody knows left from right"):
        read_volume(by_hand(tmp_path / "case.nrrd", space=space))


@pytest.mark.parametrize(("space", "orientation"), [("RAS", "RAS"), ("LAS", "LAS"), ("LPS", "LPS")])
def test_the_patients_spaces_are_known(tmp_path, space, orientation):
    assert read_volume(by_hand(tmp_path / "case.nrrd", space=space)).geometry.orientation == orientation


@pytest.mark.parametrize(("name", "field"), [("case.nrrd", "space_origin"), ("case.mha", "Offset")])
def test_a_file_without_an_origin_is_said(tmp_path, name, field):
    scan = read_volume(by_hand(tmp_path / name, **{field: None}))
    assert scan.notes == (f"{name} does not say where its first voxel lies; it was put at 0, 0, 0 mm.",)


def test_slope_and_offset_of_a_metaimage_are_applied_and_said(tmp_path):
    slope = {"ElementToIntensityFunctionSlope": "0.5", "ElementToIntensityFunctionOffset": "-24"}
    scan = read_volume(by_hand(tmp_path / "case.mha", **slope))
    np.testing.assert_array_equal(scan.hu, HU.transpose(2, 1, 0) * 0.5 - 24)
    assert "scaled by 0.5 and moved by -24" in scan.notes[0]
    with pytest.raises(ValueError, match="damaged"):
        read_volume(by_hand(tmp_path / "case.mha", ElementToIntensityFunctionSlope="x"))


def test_an_nrrd_with_squeezed_values_is_refused(tmp_path):
    with pytest.raises(ValueError, match="squeezed into fewer bits"):
        read_volume(by_hand(tmp_path / "case.nrrd", old_min="-1000", old_max="3000"))


def test_a_metaimage_that_is_no_ct_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"case\.mha says that it is no CT \(MET_MOD_MR\)"):
        read_volume(by_hand(tmp_path / "case.mha", Modality="MET_MOD_MR"))
    assert read_volume(by_hand(tmp_path / "case.mha", Modality="MET_MOD_CT")).notes == ()


def test_a_metaimage_that_says_twice_how_the_patient_lies_is_said(tmp_path):
    (note,) = read_volume(by_hand(tmp_path / "case.mha", AnatomicalOrientation="LAI")).notes
    assert "check left and right" in note


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("case.mha", {"ElementSpacing": "0.7 x 2.5"}),
        ("case.mha", {"ElementSpacing": "0,7 0,7 2,5"}),
        ("case.mha", {"ElementSpacing": "0.7 0.7"}),
        ("case.mha", {"ElementSpacing": "0.7 -0.7 2.5"}),
        ("case.mha", {"ElementSpacing": "0.7 0.7_5 2.5"}),
        ("case.mha", {"TransformMatrix": "2 0 0 0 1 0 0 0 1"}),
        ("case.mha", {"TransformMatrix": "1 0 0 0 1 0 0 0"}),
        ("case.mha", {"Offset": "-120.5 33.25"}),
        ("case.mha", {"DimSize": "5 6 x"}),
        ("case.mha", {"BinaryData": "Xrue"}),
        ("case.nrrd", {"space_directions": "(0.7,0,0) (0,0.7x,0) (0,0,2.5)"}),
        ("case.nrrd", {"space": "nonsense"}),
        ("case.nrrd", {"endian": None}),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_in_silence(tmp_path, name, changes, capfd):
    with pytest.raises(ValueError, match=rf"{name} cannot be read as \w+: it is damaged; copy or export it again\."):
        read_volume(by_hand(tmp_path / name, **changes))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("name", "field"), [("case.nrrd", "sizes"), ("case.mha", "DimSize")])
def test_a_header_of_fewer_slices_than_there_are_is_refused(tmp_path, name, field):
    with pytest.raises(ValueError, match="goes on after its last voxel"):
        read_volume(by_hand(tmp_path / name, **{field: "5 6 6"}))


@pytest.mark.parametrize(
    ("name", "field"),
    [("case.nrrd", {"endian": "big"}), ("case.mha", {"ElementByteOrderMSB": "True", "BinaryDataByteOrderMSB": None})],
)
def test_voxels_of_the_other_byte_order_are_read(tmp_path, name, field):
    path = by_hand(tmp_path / name, HU.astype(">i2"), **field)
    np.testing.assert_array_equal(read_volume(path).hu, HU.transpose(2, 1, 0))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)), HU)


def test_voxels_as_text_are_left_to_itk(tmp_path):
    path = by_hand(tmp_path / "case.nrrd", encoding="ascii", endian=None)
    head = path.read_bytes().split(b"\n\n", 1)[0]
    path.write_bytes(head + b"\n\n" + " ".join(str(value) for value in HU.ravel()).encode())
    np.testing.assert_array_equal(read_volume(path).hu, HU.transpose(2, 1, 0))


def test_a_gzip_stream_in_two_parts_is_read_to_its_end(tmp_path):
    path = by_hand(tmp_path / "case.nrrd", encoding="gzip")
    head = path.read_bytes().split(b"\n\n", 1)[0] + b"\n\n"
    one, two = gzip.compress(HU.tobytes()[:100]), gzip.compress(HU.tobytes()[100:])
    path.write_bytes(head + one + two)
    np.testing.assert_array_equal(read_volume(path).hu, HU.transpose(2, 1, 0))
    for broken in (one + two[:-1], one + two + b"x", one, one + two + two):
        path.write_bytes(head + broken)
        with pytest.raises(ValueError, match=r"damaged"):
            read_volume(path)


OPENS = """
import pathlib, sys
from napari_covseg.io import Stated, read_volume
try:
    stated = Stated(window_hu=(-1350, 150), spacing_mm=(1, 1, 1))
    print("opened", read_volume(pathlib.Path(sys.argv[1]), stated).hu.shape)
except ValueError as error:
    print(ascii(str(error)))
"""
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NO_NAME = "has letters in its path that are not valid UTF-8; rename it"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes for a name")
@pytest.mark.parametrize("suffix", [".nrrd", ".mhd", ".jpg"])
@pytest.mark.parametrize(
    ("name", "locale", "said"), [(b"r\xc3\xb6ntgen", C_LOCALE, "opened"), (b"bad\xff", {}, NO_NAME)]
)
def test_no_name_of_a_file_ends_the_program(tmp_path, suffix, name, locale, said):
    source = tmp_path / f"case{suffix}"
    if suffix == ".jpg":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
        Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC).save(source)
    else:
        in_file(source)
    path = os.path.join(os.fsencode(tmp_path), name + suffix.encode())
    os.rename(source, path)
    command = [sys.executable, "-c", OPENS, path]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **locale})
    assert ended.returncode == 0, ended.stderr
    assert said in ended.stdout
