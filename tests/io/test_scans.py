"""The door: what is no chest CT stays outside, in one sentence that names the file and says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it
from PIL import ExifTags, Image

from napari_covseg.io import Stated, UnstatedError, format_of, is_named_labels, nifti, read_either, read_volume
from napari_covseg.io.hounsfield import windowed
from napari_covseg.io.memory import available_bytes, require_memory
from napari_covseg.io.stated import keep, kept_in
from napari_covseg.volume import LESIONS, LUNGS, LabelMap, Volume, reoriented

from .series import COLUMNS, ROWS, SLICES, TURN, all_slices, numbers, series_in

SHAPE = (8, 7, 6)
AFFINE = np.diag([-0.7, -0.7, 2.0, 1.0])
HU = np.random.default_rng(0).integers(-1000, 500, SHAPE).astype(np.int16)


def in_file(path, voxels=HU, affine=AFFINE):
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def refusal(path, **stated):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the callers look at the words
        read_volume(path, Stated(**stated))
    message = str(refused.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert Path(path).name in message
    return refused.value


@pytest.mark.parametrize(("values", "listed"), [((0, 1), "0, 1"), ((0, 1, 2, 3, 4), "0, 1, 2, 3, 4"), ((0,), "0")])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_mask_is_no_scan_and_its_values_are_told(tmp_path, values, listed, dtype):
    mask = np.resize(values, SHAPE).astype(dtype)
    message = str(refusal(in_file(tmp_path / "mask.nii.gz", mask)))
    assert f"is a label map (it holds only {listed}), not a scan; give the scan it belongs to" in message


def test_either_is_read_as_what_it_is(tmp_path):
    lung, lesion = (np.resize(range(n), SHAPE).astype(np.uint8) for n in (2, 4))
    one, two = (read_either(in_file(tmp_path / f"{n}.nii", mask)) for n, mask in (("a", lung), ("b", lesion)))
    assert isinstance(one, LabelMap)
    assert isinstance(two, LabelMap)
    assert (one.scheme, two.scheme) == (LUNGS, LESIONS)
    np.testing.assert_array_equal(two.values, lesion)
    assert isinstance(read_either(in_file(tmp_path / "c.nii")), Volume)


@pytest.mark.parametrize("count", [5, 6])
def test_more_values_than_classes_are_no_mask(tmp_path, count):
    error = refusal(in_file(tmp_path / "case.nii", np.resize(range(count), SHAPE).astype(np.uint8)))
    assert ("label map" in str(error)) is (count == 5)


def test_an_8_bit_picture_opens_when_its_window_is_stated(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    grey[0, 0, :2] = 0, 255
    path = in_file(tmp_path / "grey.nii.gz", grey)
    error = refusal(path)
    assert isinstance(error, UnstatedError)
    assert error.question == "window"
    scan = read_volume(path, Stated(window_hu=(-1350, 150)))
    np.testing.assert_allclose(scan.hu, grey / 255 * 1500 - 1350, atol=1e-3)
    assert "window −1350…150" in scan.notes[0].replace("-", "−")


@pytest.mark.parametrize(
    ("low", "high", "opens"),
    [
        (0, 4095, False),
        (-1, 1, False),
        (-3.5, 5.5, False),
        (-199, 800, False),
        (-201, 800, True),
        (-1024, 3071, True),
        (-3024, 31000, True),
        (-1000, 66001, False),
        (-1000, -850, False),
    ],
)
def test_what_can_be_hounsfield_units_of_a_chest_opens(tmp_path, low, high, opens):
    path = in_file(tmp_path / "case.nii", np.linspace(low, high, HU.size).reshape(SHAPE).astype(np.float32))
    if opens:
        assert read_volume(path).notes == ()
    else:
        assert "not Hounsfield units" in str(refusal(path))


CHEST = np.random.default_rng(1).permutation(np.repeat([-1024, -1000, -850, -700, -90, 40, 60, 300], 1000))
"""As much air, lung, fat, soft tissue and bone as there may be."""


def in_order(values):
    """So that neighbours are alike, as in a picture."""
    return np.sort(values).reshape(20, 20, 20).astype(np.int16)


def padded(values, with_hu, share=0.2):
    values = values.copy()
    values[: int(share * values.size)] = with_hu
    return values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (CHEST, ""),
        (np.clip(CHEST, None, 150), ""),
        (padded(CHEST, -2000), ""),
        (padded(padded(CHEST, -2000), -3024, 0.1), ""),
        (padded(CHEST, 3071, 0.05), ""),
        (padded(CHEST + 1024, -2000), "denser than bone"),
        (padded(CHEST + 1024, -1024, 2e-4), "denser than bone"),
        (padded(np.clip((CHEST + 1000) / 6, 0, 255).round(), -1024), "less dense than water"),
        (CHEST * 10, "less than air"),
        (CHEST - 1024, "less than air"),
    ],
)
def test_the_body_of_the_values_tells_whether_they_are_hounsfield_units(tmp_path, values, words):
    path = in_file(tmp_path / "case.nii", in_order(values))
    if words:
        assert words in str(refusal(path))
    else:
        assert read_volume(path).notes == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [(CHEST // 2, "below −700"), (np.where(CHEST > -100, CHEST, -1000), "between −1000 and −200")],
)
def test_a_body_of_values_without_lung_is_said(tmp_path, values, words):
    (note,) = read_volume(in_file(tmp_path / "case.nii", in_order(values))).notes
    assert words in note


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_infinite_values_are_refused(tmp_path, value):
    hu = HU.astype(np.float64)
    hu[2, 2, 2] = value
    assert "infinite" in str(refusal(in_file(tmp_path / "case.nii", hu)))


@pytest.mark.parametrize("mm", [0.0007, 0.049, 101.0])
def test_voxels_of_a_size_no_ct_has_are_refused(tmp_path, mm):
    assert "which no CT has" in str(refusal(in_file(tmp_path / "case.nii", affine=np.diag([-0.7, mm, 2, 1]))))
    read_volume(in_file(tmp_path / "case.nii", affine=np.diag([-0.7, 0.05, 100, 1])))


def test_a_scan_metres_away_is_refused(tmp_path):
    affine = AFFINE.copy()
    affine[0, 3] = 1e6
    assert "away from its scanner" in str(refusal(in_file(tmp_path / "case.nii", affine=affine)))


@pytest.mark.parametrize(("degrees", "opens"), [(0.4, True), (0.6, False), (20.0, False)])
def test_a_tilt_is_refused_until_it_is_to_be_straightened(tmp_path, degrees, opens):
    affine = AFFINE.copy()
    affine[1, 2] = 2.0 * np.tan(np.radians(degrees))
    path = in_file(tmp_path / "case.nii", affine=affine)
    if opens:
        assert read_volume(path).notes == ()
        return
    error = refusal(path)
    assert isinstance(error, UnstatedError)
    assert error.question == "straighten"
    assert f"tilted by {degrees:.1f}°" in str(error)
    scan = read_volume(path, Stated(straighten=True))
    assert scan.geometry.tilt_degrees == pytest.approx(0, abs=1e-4)
    assert "shifted upright" in scan.notes[0]


def test_a_tilted_dicom_series_is_straightened_on_request(tmp_path):
    def change(index):
        place = np.array([-120.5, 33.25, -400.0]) + (TURN[:, 2] * 2.5 + TURN[:, 1] * 0.8) * index
        return {"ImagePositionPatient": numbers(place)}

    folder = series_in(tmp_path / "case", change)
    assert "tilted" in str(refusal(folder))
    scan = read_volume(folder, Stated(straighten=True))
    assert scan.hu.shape == (COLUMNS, ROWS + SLICES - 1, SLICES)
    assert scan.hu.dtype == np.int16


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0)])
@pytest.mark.parametrize("flip", [1, -1])
def test_reading_keeps_the_orientation_and_the_apex_is_slice_1_whatever_it_is(tmp_path, axes, flip):
    """The densest slice is the apex: axial, sagittal and coronal acquisitions, head up or down."""
    turn = np.zeros((3, 3))
    turn[axes, range(3)] = (-0.7, -0.7, 2.0 * flip)
    affine = np.eye(4)
    affine[:3, :3] = turn
    vertical = axes.index(2)
    hu = np.moveaxis(np.full(SHAPE, -900, np.int16), vertical, 0)
    hu[-1 if turn[2, vertical] > 0 else 0] = 50
    hu = np.moveaxis(hu, 0, vertical)
    scan = read_volume(in_file(tmp_path / "case.nii.gz", np.ascontiguousarray(hu), affine))
    np.testing.assert_array_equal(scan.hu, hu)
    assert (reoriented(scan).hu[0] == 50).all()
    assert (reoriented(scan).hu[1:] == -900).all()


@pytest.mark.parametrize("name", ["Fälle von Ärztin Õ 2026", "肺 CT", "a b  c"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ""])
def test_any_path_will_do(tmp_path, name, suffix):
    folder = tmp_path / name
    folder.mkdir()
    if suffix.startswith(".nii"):
        path = in_file(folder / f"{name}{suffix}")
    elif suffix:
        import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

        path = folder / f"{name}{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(HU), path)
    else:
        path = series_in(folder / name)
    assert read_volume(path).name == name


def test_what_is_nothing_known_is_refused_with_what_is(tmp_path):
    (tmp_path / "notes.txt").write_text("Bed 4")
    assert format_of(tmp_path / "notes.txt") is None
    assert "NIfTI" in str(refusal(tmp_path / "notes.txt"))
    assert "no DICOM slices" in str(refusal(tmp_path))
    with pytest.raises(ValueError, match="There is no file or folder"):
        read_volume(tmp_path / "none.nii")


@pytest.mark.parametrize("name", ["肺 ü", "Fälle"])
def test_a_header_that_names_its_voxels_beside_it_may_be_in_any_script(tmp_path, name):
    path = tmp_path / f"{name}.mhd"
    sitk.WriteImage(sitk.GetImageFromArray(HU.T), path)
    np.testing.assert_array_equal(read_volume(path).hu, HU)


def test_an_old_header_that_is_not_utf_8_opens_all_the_same(tmp_path):
    path = tmp_path / "case.mha"
    sitk.WriteImage(sitk.GetImageFromArray(HU.T), path)
    path.write_bytes(path.read_bytes().replace(b"NDims", "Comment = Ärztin\nNDims".encode("latin-1"), 1))
    np.testing.assert_array_equal(read_volume(path).hu, HU)


def test_what_is_packed_with_bzip2_is_refused_with_what_is_not(tmp_path):
    path = tmp_path / "case.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(HU.T), path)
    path.write_bytes(path.read_bytes().replace(b"encoding: raw", b"encoding: bzip2"))
    assert "save it with gzip" in str(refusal(path))


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "white"), [(".png", 255), (".jpg", 255), (".PNG", 65535)])
def test_a_picture_is_a_slice_in_the_stated_window(tmp_path, suffix, white):
    grey = np.tile(np.linspace(0, white, 40), (30, 1)).astype(np.uint8 if white == 255 else np.uint16)
    path = tmp_path / f"slice{suffix}"
    imageio.imwrite(path, grey, extension=suffix.lower())
    error = refusal(path)
    assert isinstance(error, UnstatedError)
    assert error.question == "window"
    scan = read_volume(path, Stated(window_hu=(-1350, 150)))
    assert scan.geometry.orientation == "IPL"
    np.testing.assert_allclose(scan.hu[0], grey / white * 1500 - 1350, atol=20 if suffix == ".jpg" else 0.05)
    assert any("1 mm was assumed" in note for note in scan.notes)


def test_a_folder_of_pictures_is_a_scan_once_its_spacing_is_stated(tmp_path):
    for number in (1, 2, 10):
        imageio.imwrite(tmp_path / f"im{number}.png", np.full((5, 4), number * 20, np.uint8))
    error = refusal(tmp_path, window_hu=(-1000, 1550))
    assert isinstance(error, UnstatedError)
    assert error.question == "spacing"
    scan = read_volume(tmp_path, Stated(window_hu=(-1000, 1550), spacing_mm=(0.7, 0.8, 5)))
    assert scan.hu[:, 0, 0].tolist() == pytest.approx([-800, -600, 1000], abs=1e-3)
    assert scan.geometry.spacing_mm == pytest.approx((5, 0.8, 0.7))
    imageio.imwrite(tmp_path / "im3.png", np.zeros((6, 4), np.uint8))
    assert "differ in size" in str(refusal(tmp_path, window_hu=(-1000, 1550), spacing_mm=(0.7, 0.8, 5)))


def test_label_maps_beside_the_pictures_of_a_folder_are_left_out_and_holes_are_said(tmp_path):
    stated = {"window_hu": (-1000, 400), "spacing_mm": (0.7, 0.7, 5)}
    grey = np.arange(20, dtype=np.uint8).reshape(5, 4) * 10
    for number in (1, 2, 3):
        imageio.imwrite(tmp_path / f"x{number}_label.png", (grey > 100).astype(np.uint8))
    assert "and no slices" in str(refusal(tmp_path, **stated))
    for number in (1, 2, 3):
        imageio.imwrite(tmp_path / f"x{number}_image.png", grey)
    scan = read_volume(tmp_path, Stated(**stated))
    assert scan.geometry.shape == (3, 5, 4)
    assert scan.notes[1].startswith("The 3 pictures of ")
    assert scan.notes[1].endswith(" became one scan, by their names from the apex down.")
    assert scan.notes[2:] == ("Label maps beside the slices were left out: x1_label.png and 2 more.",)
    imageio.imwrite(tmp_path / "x5_image.png", grey)
    assert "hole after 3" in read_volume(tmp_path, Stated(**stated)).notes[2]


@pytest.mark.parametrize("white", [1, 255])
def test_a_picture_of_few_values_is_a_label_map(tmp_path, white):
    mask = np.eye(20, dtype=np.uint8) * white
    imageio.imwrite(tmp_path / "slice.png", mask)
    assert f"it holds only 0, {white}" in str(refusal(tmp_path / "slice.png", window_hu=(-1000, 400)))


def test_pictures_that_are_colourful_or_damaged_are_refused(tmp_path):
    colours = np.zeros((20, 20, 3), np.uint8)
    colours[..., 0] = 200
    imageio.imwrite(tmp_path / "red.png", colours)
    assert "colour picture" in str(refusal(tmp_path / "red.png", window_hu=(-1000, 400)))
    (tmp_path / "cut.png").write_bytes((tmp_path / "red.png").read_bytes()[:60])
    assert "damaged" in str(refusal(tmp_path / "cut.png", window_hu=(-1000, 400)))


def test_one_wrong_bit_in_the_pixels_of_a_png_is_noticed(tmp_path):
    imageio.imwrite(tmp_path / "slice.png", np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    read_volume(tmp_path / "slice.png", Stated(window_hu=(-1350, 150)))
    content = bytearray((tmp_path / "slice.png").read_bytes())
    content[content.index(b"IDAT") + 800] ^= 0x10
    (tmp_path / "slice.png").write_bytes(content)
    assert "damaged" in str(refusal(tmp_path / "slice.png", window_hu=(-1350, 150)))


def test_a_picture_in_printers_inks_is_not_taken_for_grey(tmp_path):
    Image.new("CMYK", (40, 40), (90, 90, 90, 30)).save(tmp_path / "slice.jpg")
    assert "holds no grey values but colours (CMYK)" in str(refusal(tmp_path / "slice.jpg", window_hu=(-1350, 150)))


@pytest.mark.parametrize("values", [np.full((40, 40), 150), np.linspace(31768, 35768, 1600).reshape(40, 40)])
def test_a_picture_that_shows_next_to_nothing_of_its_window_is_refused(tmp_path, values):
    imageio.imwrite(tmp_path / "slice.png", values.astype(np.uint8 if values.max() < 256 else np.uint16))
    assert "in the stated window, which is no chest" in str(refusal(tmp_path / "slice.png", window_hu=(-1350, 150)))


def test_grey_values_of_a_file_are_judged_in_their_window_too(tmp_path):
    grey = np.linspace(200, 210, HU.size).reshape(SHAPE).astype(np.uint8)
    assert "in the stated window" in str(refusal(in_file(tmp_path / "a.nii", grey), window_hu=(-1350, 150)))


@pytest.mark.parametrize("names", ["c01-000,c01-002,c02-000", "anna_1,anna_2,ben_1", "p1_s1,p1_s2,p2_s5,p2_s6"])
def test_pictures_of_several_patients_are_not_glued_into_one_scan(tmp_path, names):
    for name in names.split(","):
        imageio.imwrite(tmp_path / f"{name}_image.png", np.arange(0, 240, dtype=np.uint8).reshape(15, 16))
    stated = {"window_hu": (-1350, 150), "spacing_mm": (0.7, 0.7, 5)}
    assert "names begin in 2 ways, as of several patients" in str(refusal(tmp_path, **stated))


def test_pictures_whose_names_tell_two_numbers_of_each_slice_are_one_scan(tmp_path):
    for number in range(1, 4):
        imageio.imwrite(tmp_path / f"im{number}_z{5 * number}.png", np.arange(240, dtype=np.uint8).reshape(15, 16))
    assert read_volume(tmp_path, Stated(window_hu=(-1350, 150), spacing_mm=(0.7, 0.7, 5))).hu.shape == (3, 15, 16)


ORGANS = np.kron(
    np.random.default_rng(3).permutation(np.r_[np.zeros(96), np.arange(48) * 4]).reshape(12, 12, 1), np.ones((5, 5, 6))
)
"""48 organs of 0…188 as cubes, two thirds of it nothing."""


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("stated", [{}, {"window_hu": (-1350, 150)}])
def test_a_map_of_many_organs_is_a_mask_with_a_window_too(tmp_path, dtype, stated):
    for values in (ORGANS, ORGANS // 2, np.where(ORGANS > 0, ORGANS % 7 + 1, 0)):
        assert "is a label map" in str(refusal(in_file(tmp_path / "organs.nii.gz", values.astype(dtype)), **stated))


def test_a_picture_of_many_organs_is_a_mask(tmp_path):
    imageio.imwrite(tmp_path / "slice.png", ORGANS[..., 0].astype(np.uint8))
    assert "is a label map" in str(refusal(tmp_path / "slice.png", window_hu=(-1350, 150)))


@pytest.mark.parametrize("between", [0.02, 0.4])
def test_a_map_of_probabilities_is_a_mask_and_grey_values_of_0_to_1_are_none(tmp_path, between):
    sure = np.where(ORGANS > 100, 0.997, np.where(ORGANS > 0, 0.004, 0)).astype(np.float32)
    unsure = np.arange(sure.shape[0])[:, None, None] / sure.shape[0] + np.zeros(sure.shape)
    values = np.where(unsure < between, unsure / between, sure).astype(np.float32)
    values.flat[:2] = 0, 1
    path = in_file(tmp_path / "grey.nii.gz", values)
    if between < 0.1:
        assert "is a map of probabilities" in str(refusal(path, window_hu=(-1350, 150)))
    else:
        assert read_volume(path, Stated(window_hu=(-1350, 150))).hu.max() == 150


def test_grey_values_of_a_scan_are_no_mask_though_much_of_it_is_black(tmp_path, covseg_data):
    hu = np.asarray(nib.load(covseg_data / "volumes" / "lesion_1_ct.nii.gz").dataobj)[..., 20:24]
    grey = np.rint(np.clip((hu + 1000) / 1100, 0, 1) * 255).astype(np.uint8)
    assert (grey == 0).mean() > 0.3
    read_volume(in_file(tmp_path / "grey.nii.gz", grey), Stated(window_hu=(-1000, 100)))
    read_volume(in_file(tmp_path / "one.nii.gz", (grey / 255).astype(np.float32)), Stated(window_hu=(-1000, 100)))


@pytest.mark.parametrize(
    ("lost", "words"), [(np.s_[10:], "straight-edged"), (np.s_[:, 10:], "straight-edged"), (np.s_[16:], "")]
)
def test_a_scan_of_which_a_straight_part_is_missing_is_refused(tmp_path, lost, words):
    values = CHEST.reshape(20, 20, 20).astype(np.float32)
    values[lost] = np.nan
    path = in_file(tmp_path / "case.nii.gz", values)
    if words:
        assert words in str(refusal(path))
    else:
        assert "are air now" in read_volume(path).notes[0]


def test_a_scan_that_is_mostly_without_a_number_is_refused(tmp_path):
    values = CHEST.reshape(20, 20, 20).astype(np.float32)
    far = np.abs(np.add.outer(np.arange(20), np.arange(20)[::-1]) - 19)
    values[far > 2] = np.nan
    assert "has no number in 7" in str(refusal(in_file(tmp_path / "case.nii.gz", values)))


# --- rights and memory ------------------------------------------------------------------------------------------------

AS_NOBODY = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
from pathlib import Path
try:
    read_volume(Path(sys.argv[1]))
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("locked", ["folder", "inner", "slice", "file.nii", "file.nrrd", "file.png"])
def test_what_may_not_be_read_is_said(tmp_path, locked):
    for place in (tmp_path, *tmp_path.parents):
        if place == tmp_path or place.name.startswith(("pytest-", "popen-")):  # one more of them where xdist runs it
            place.chmod(0o755)
    if locked.startswith("file"):
        path = target = in_file(tmp_path / "file.nii").rename(tmp_path / locked)
    else:
        inner = tmp_path / "case" / "inner"
        inner.parent.mkdir()
        series_in(inner)
        path = tmp_path / "case"
        target = {"folder": path, "inner": inner, "slice": sorted(inner.iterdir())[1]}[locked]
    target.chmod(0)
    # Imported before rights are dropped: the checkout itself may be closed to others.
    script = "from napari_covseg.io import read_volume, dicom, itk, pictures\nimport numpy, SimpleITK\n" + AS_NOBODY
    said = subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True, text=True).stdout
    assert said == f"You may not read {target}; ask its owner for the permission, or copy it.\n"


WITH_LITTLE_MEMORY = """
import resource, sys, psutil
from pathlib import Path
from napari_covseg.io import read_volume, nifti
gigabytes = float(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + int(gigabytes * 2**30),) * 2)
try:
    print(read_volume(Path(sys.argv[1])).hu.shape)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory so")
@pytest.mark.parametrize(("slices", "opens"), [(4000, False), (300, True)])
def test_a_scan_that_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, slices, opens):
    path = _sparse(tmp_path / "large.nii", slices)
    command = [sys.executable, "-c", WITH_LITTLE_MEMORY, path, "1"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    if opens:
        assert said == "(512, 512, 300)\n"
    else:
        assert said.startswith("large.nii needs 2.1 GB of memory and 1.0 GB are free; close other programs")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory so")
def test_two_thousand_slices_open_in_4_gb(tmp_path):
    command = [sys.executable, "-c", WITH_LITTLE_MEMORY, _sparse(tmp_path / "long.nii", 2000), "3.5"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == "(512, 512, 2000)\n"


def _sparse(path, slices):
    """Write a scan that is almost all zeros, which file systems do not store."""
    header = nib.Nifti1Header()
    header.set_data_shape((512, 512, slices))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    with path.open("wb") as file:
        header.write_to(file)
        file.write(b"\0" * 4)
        file.write(np.full(512 * 512 * max(1, slices // 200), -800, np.int16).tobytes())
        file.truncate(352 + 512 * 512 * slices * 2)
    return path


def test_what_is_available_is_a_part_of_what_there_is():
    import psutil

    assert 0 < available_bytes() <= psutil.virtual_memory().total
    require_memory("case", 1, 2)
    with pytest.raises(ValueError, match=r"case needs .* GB of memory and .* GB are free"):
        require_memory("case", 10**12, 2)


# --- what is stated ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing_mm", [(0.7, 0.7), (0.7, 0.7, 0.04), (0.7, 0.7, 101), (0.7, 0.7, float("nan"))])
def test_a_spacing_that_cannot_be_is_not_taken(spacing_mm):
    with pytest.raises(ValueError, match="three lengths"):
        Stated(spacing_mm=spacing_mm)


@pytest.mark.parametrize("window_hu", [(150, -1350), (0, 0), (float("nan"), 1)])
def test_a_window_that_cannot_be_is_not_taken(window_hu):
    with pytest.raises(ValueError, match="A window goes"):
        Stated(window_hu=window_hu)


def test_what_was_stated_is_kept_with_the_session(tmp_path):
    stated = Stated("1.2.3", (0.7, 0.8, 5.0), (-1350.0, 150.0), True)
    keep(stated, tmp_path)
    assert kept_in(tmp_path) == stated
    keep(Stated(), tmp_path / "none")
    assert kept_in(tmp_path / "none") == Stated()
    assert not (tmp_path / "none").exists()
    (tmp_path / "stated.json").write_text("{")
    assert kept_in(tmp_path) == Stated()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(("orientation", "opens"), [(1, True), (3, False), (6, False)])
def test_a_picture_that_is_to_be_turned_is_refused(tmp_path, suffix, orientation, opens):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    grey = np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12)
    Image.fromarray(grey).save(tmp_path / f"slice{suffix}", exif=exif)
    if opens:
        assert read_volume(tmp_path / f"slice{suffix}", Stated(window_hu=(-1350, 150))).hu.shape == (1, 10, 12)
    else:
        assert "save it upright" in str(refusal(tmp_path / f"slice{suffix}", window_hu=(-1350, 150)))


def test_a_16_bit_picture_that_fills_12_bits_is_refused(tmp_path):
    imageio.imwrite(tmp_path / "slice.png", np.linspace(0, 4095, 100).astype(np.uint16).reshape(10, 10))
    assert "nothing says which is white" in str(refusal(tmp_path / "slice.png", window_hu=(-1350, 150)))


# --- grey values in scan files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
@pytest.mark.parametrize(("white", "dtype"), [(1, np.float32), (1, np.float64), (255, np.float32), (255, np.uint8)])
def test_grey_values_are_of_the_window_whatever_is_white(tmp_path, suffix, white, dtype):
    grey = (np.linspace(0, white, HU.size)).astype(dtype).reshape(SHAPE)
    path = tmp_path / f"grey{suffix}"
    if suffix == ".mha":
        sitk.WriteImage(sitk.GetImageFromArray(grey.T.copy()), path)
        path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = .7 .7 2"))
    else:
        in_file(path, grey)
    assert refusal(path).question == "window"
    scan = read_volume(path, Stated(window_hu=(-1350, 150)))
    np.testing.assert_allclose(scan.hu, grey.astype(np.float64) / white * 1500 - 1350, atol=1e-3)
    assert f"(0 is black, {white} white)" in scan.notes[0]


@pytest.mark.parametrize("high", [0.3, 1.01, 100, 127])
@pytest.mark.parametrize("stated", [{}, {"window_hu": (-1350, 150)}])
def test_grey_values_of_which_nobody_knows_the_white_are_refused(tmp_path, high, stated):
    grey = np.linspace(0, high, HU.size).astype(np.float32).reshape(SHAPE)
    error = refusal(in_file(tmp_path / "grey.nii", grey), **stated)
    assert "nothing says which is white" in str(error)
    assert not isinstance(error, UnstatedError)


def test_a_window_makes_no_hounsfield_units_of_stored_numbers(tmp_path):
    path = in_file(tmp_path / "case.nii", (HU.astype(np.int32) + 1024) * 4)
    assert "not Hounsfield units" in str(refusal(path, window_hu=(-50000, 50000)))


@pytest.mark.parametrize(("window_hu", "is_said"), [((0, 100), True), ((-160, 240), True), ((-1350, 150), False)])
def test_a_picture_in_a_window_without_lung_opens_once_and_is_said(tmp_path, window_hu, is_said):
    imageio.imwrite(tmp_path / "slice.png", np.arange(256, dtype=np.uint8).reshape(16, 16))
    scan = read_volume(tmp_path / "slice.png", Stated(window_hu=window_hu))
    assert (scan.hu.min(), scan.hu.max()) == pytest.approx(window_hu, abs=1e-3)
    assert any("shows no lung" in note for note in scan.notes) is is_said


# --- what is stated for nothing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"window_hu": (-1350, 150)}, "holds no grey values; the window that was stated was not used"),
        ({"spacing_mm": (1, 1, 1)}, "the spacing that was stated was not used"),
        ({"series": "1"}, "the series that was chosen does not apply"),
        ({"straighten": True}, "nothing to straighten"),
    ],
)
@pytest.mark.parametrize("kind", ["NIfTI", "MetaImage", "DICOM"])
def test_what_is_stated_for_nothing_is_said(tmp_path, stated, words, kind):
    if kind == "NIfTI":
        path = in_file(tmp_path / "case.nii")
    elif kind == "MetaImage":
        path = tmp_path / "case.mha"
        image = sitk.GetImageFromArray(HU.T.copy())
        image.SetSpacing((0.7, 0.7, 2.0))
        sitk.WriteImage(image, path)
    else:
        path = series_in(tmp_path / "case", all_slices(PixelSpacing=[0.7, 0.7]))
    notes = read_volume(path, Stated(**stated)).notes
    if kind == "DICOM" and "series" in stated:
        assert notes == ()
    else:
        assert len(notes) == 1
        assert words in notes[0]
        assert path.name in notes[0]


# --- lengths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "is_said"),
    [
        ((512, 512, 2), (0.7, 0.7, 5), False),
        ((512, 512, 2), (7, 7, 5), True),
        ((512, 512, 2), (0.07, 0.07, 5), True),
        ((8, 8, 30), (0.7, 0.7, 50), True),
        ((8, 8, 300), (0.7, 0.7, 10), True),
        ((8, 8, 300), (0.7, 0.7, 1), False),
        ((8, 8, 20), (0.7, 0.7, 20), False),
    ],
)
def test_lengths_that_are_hardly_a_chest_are_said(tmp_path, shape, spacing_mm, is_said):
    hu = np.resize(CHEST, shape).astype(np.int16)
    notes = read_volume(in_file(tmp_path / "case.nii", hu, np.diag([*spacing_mm, 1.0]))).notes
    assert any("check its lengths" in note for note in notes) is is_said


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_labels"),
    [
        ("case_lesion.nii.gz", True),
        ("CASE_SEG.NRRD", True),
        ("case_labels.png", True),
        ("case_segmentation.mha", True),
        ("case_ct.nii.gz", False),
        ("seg.nii.gz", False),
    ],
)
def test_label_maps_are_told_by_their_names(name, is_labels):
    assert is_named_labels(Path(name)) is is_labels


@pytest.mark.parametrize("end", [0, 3, 20, 200])
def test_a_cut_picture_is_refused_in_silence(tmp_path, end, capfd):
    path = tmp_path / "slice.jpg"
    imageio.imwrite(path, np.arange(240, dtype=np.uint8).reshape(12, 20))
    path.write_bytes(path.read_bytes()[:end])
    assert "damaged" in str(refusal(path, window_hu=(-1000, 400)))
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_the_folder_one_stands_in_has_a_name_in_sentences(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"^{tmp_path.name} holds no DICOM slices"):
        read_volume(Path())


def test_grey_values_become_hounsfield_units_in_one_copy():
    grey = np.zeros((200, 200, 50), np.int16)
    tracemalloc.start()
    windowed(grey, (-1350, 150), 255.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4.5 * grey.size


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are of POSIX")
@pytest.mark.parametrize("name", ["pipe.nii.gz", "pipe.dcm", "pipe"])
def test_a_pipe_is_never_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert "is a pipe or a device and no file" in str(refusal(tmp_path / name))
    folder = series_in(tmp_path / "case")
    os.mkfifo(folder / "0000")  # sorts before the slices
    assert format_of(folder) == "DICOM"
    assert "What is no DICOM image was passed over: 0000" in " ".join(read_volume(folder).notes)


def test_a_zip_without_slices_is_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        archive.write(in_file(tmp_path / "scan.nii.gz"), "scan.nii.gz")
    assert "holds no DICOM slices; unpack it" in str(refusal(tmp_path / "scan.zip"))


def test_the_index_of_a_disc_is_no_damaged_slice(tmp_path):
    index = pydicom.Dataset()
    index.file_meta = pydicom.dataset.FileMetaDataset()
    index.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    index.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    index.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    index.FileSetID = "DISC"
    folder = series_in(tmp_path / "case")
    index.save_as(folder / "index", enforce_file_format=True)
    assert read_volume(folder).geometry.shape[2] == SLICES
    assert "holds no DICOM slices; choose the folder" in str(refusal(folder / "index"))


def test_a_picture_far_larger_than_a_slice_is_not_called_damaged(tmp_path, monkeypatch):
    picture = np.repeat(np.arange(48, dtype=np.uint8)[:, None] * 5, 40, axis=1)
    imageio.imwrite(tmp_path / "large.png", picture)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", picture.size // 3)
    assert "is far larger than a CT slice" in str(refusal(tmp_path / "large.png", window_hu=(-1000, 400)))


@pytest.mark.parametrize("suffix", [".hdr", ".img"])
def test_half_of_a_pair_is_called_one(tmp_path, suffix):
    nib.save(nib.Nifti1Pair(HU, AFFINE), tmp_path / "case.img")
    message = str(refusal(tmp_path / f"case{suffix}"))
    assert "is half of a pair of files (.hdr and .img); save both as one .nii file" in message


@pytest.mark.parametrize("suffix", [".dcm", ""])
@pytest.mark.parametrize("begins", [b"", b"\x08\x00\x05\x00CS"])
def test_dicom_that_lost_its_beginning_is_told_from_other_files(tmp_path, suffix, begins):
    folder = series_in(tmp_path / "case")
    for number, file in enumerate(sorted(folder.iterdir())):
        kept = file.read_bytes()[132:]
        file.unlink()
        (folder / f"IM{number}{suffix}").write_bytes(begins + kept)
    for path in (folder, folder / f"IM0{suffix}"):
        assert "is DICOM that lost the 132 bytes it begins with" in str(refusal(path))
        assert "export the series again" in str(refusal(path))
    for file in folder.iterdir():
        file.write_bytes(b"\x08\x00 and other things")
    assert "that lost" not in str(refusal(folder))


def test_a_file_that_vanishes_while_it_is_read_is_told(tmp_path, monkeypatch):
    path = in_file(tmp_path / "case.nii")
    hounsfield = nifti.hounsfield

    def without_its_file(*read):
        path.unlink()
        return hounsfield(*read)

    monkeypatch.setattr(nifti, "hounsfield", without_its_file)
    message = str(refusal(path))
    assert "vanished while it was read; see that its drive is connected" in message


def test_numbers_beyond_all_sums_are_refused_and_nothing_is_printed(tmp_path, recwarn):
    hu = HU.astype(np.float32)
    hu = np.resize(hu, (40, 40, 40))
    hu[::2] = 3e38
    assert "not Hounsfield units" in str(refusal(in_file(tmp_path / "case.nii", hu)))
    assert [str(each.message) for each in recwarn if issubclass(each.category, RuntimeWarning)] == []
