"""What a folder of DICOM may look like: several series, copies, scouts, frames, zips, compression, no positions."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from napari_covseg.io import Stated, UnstatedError, dicom, read_volume
from napari_covseg.io.dicom import describe_series, read_series

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
    one_slice,
    series_in,
    slice_of,
    stored_slice,
)


def refusal(folder, **stated):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the callers look at the words
        read_series(folder, Stated(**stated))
    return refused.value


def values():
    return np.stack([stored_slice(index).T - 1024 for index in range(SLICES)], axis=2)


@pytest.fixture
def two_series(tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    return series_in(folder, series_uid="1.2.3.2222", count=3)


def test_of_two_series_the_reader_is_asked_for_one_and_told_what_they_are(two_series):
    error = refusal(two_series)
    assert isinstance(error, UnstatedError)
    assert error.question == "series"
    assert [(each.uid, each.slices) for each in error.series] == [("1.2.3.1111", 4), ("1.2.3.2222", 3)]
    assert "1: CT, Thorax, 4 slices; 2: CT, Thorax, 3 slices" in str(error)


@pytest.mark.parametrize(("wanted", "slices"), [("1", 4), ("2", 3), ("1.2.3.2222", 3)])
def test_a_series_is_chosen_by_number_or_uid(two_series, wanted, slices):
    assert read_series(two_series, Stated(series=wanted)).hu.shape[2] == slices


@pytest.mark.parametrize("wanted", ["0", "3", "1.2.3", "²"])
def test_a_series_that_is_not_there_is_refused(two_series, wanted):
    assert "holds no series" in str(refusal(two_series, series=wanted))


def test_the_one_ct_among_reports_and_scouts_is_opened_and_said(tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesDescription": "Topogram"}
    series_in(folder, all_slices(**scout), series_uid="1.2.3.2222", count=2)
    report = slice_of(0, "1.2.3.3333", Modality="SR", Rows=None, Columns=None, PixelData=None, SOPClassUID="1.2.840.88")
    del report.ImagePositionPatient
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    scan = read_series(folder)
    assert scan.hu.shape[2] == SLICES
    assert any("CT, Topogram, 2 slices" in note for note in scan.notes)
    assert any("report.dcm" in note for note in scan.notes)


def test_a_scout_within_the_series_is_left_out_and_said(tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    scout = slice_of(9, "1.2.3.1111", Rows=3, PixelData=b"\0" * 30, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    scout.save_as(folder / "scout.dcm", enforce_file_format=True)
    scan = read_series(folder)
    assert scan.hu.shape[2] == SLICES
    assert scan.notes == ("1 scout image among the slices left out.",)


def test_slices_are_found_in_folders_within_folders(tmp_path):
    deep = tmp_path / "study" / "ct" / "thin"
    deep.mkdir(parents=True)
    series_in(deep)
    (tmp_path / "study" / "DICOMDIR").write_bytes(b"\0" * 200)
    np.testing.assert_array_equal(read_volume(tmp_path / "study").hu, values())


def test_copies_of_slices_are_left_out_and_said(tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    (folder / "again").mkdir()
    for name in ("1111-0.dcm", "1111-3.dcm"):
        shutil.copy(folder / name, folder / "again" / f"copy-of-{name}")
    scan = read_series(folder)
    np.testing.assert_array_equal(scan.hu, values())
    assert scan.notes == (
        "2 of the slices of case are there twice and were left out once (1111-3.dcm, 1111-0.dcm).",
    ) or ("2 of the slices of case are there twice" in scan.notes[0])


def test_a_slice_with_another_rescale_or_padding_is_said(tmp_path):
    scan = read_series(series_in(tmp_path / "a", one_slice(2, RescaleIntercept=-1000)))
    assert "same rescale" in scan.notes[0]
    padding = pydicom.DataElement("PixelPaddingValue", "SS", -2000)
    scan = read_series(series_in(tmp_path / "b", one_slice(2, PixelPaddingValue=padding)))
    assert "outside of the field of view" in scan.notes[0]
    assert read_series(series_in(tmp_path / "c")).notes == ()


@pytest.mark.parametrize(("stated", "said"), [(4, False), (5, True)])
def test_an_acquisition_that_had_more_images_is_said(tmp_path, stated, said):
    scan = read_series(series_in(tmp_path / "case", all_slices(ImagesInAcquisition=stated)))
    assert bool(scan.notes) is said


@pytest.mark.parametrize(("slices_lost", "words"), [((1,), "1 slice is missing"), ((1, 2), "2 slices are missing")])
def test_how_many_slices_are_missing_is_said(tmp_path, slices_lost, words):
    folder = series_in(tmp_path / "case", count=8)
    for number in slices_lost:
        next(folder.glob(f"*-{number}.dcm")).unlink()
    assert words in str(refusal(folder))


def test_uneven_spacing_that_is_no_gap_is_not_called_one(tmp_path):
    message = str(refusal(series_in(tmp_path / "case", moved_by(5, (0, 0, 1.0)), count=8)))
    assert "not evenly spaced" in message
    assert "missing" not in message


def test_a_file_that_was_dicom_is_not_passed_over(tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    last = folder / "1111-1.dcm"
    last.write_bytes(b"\0" * 128 + b"XXXX" + last.read_bytes()[132:])
    assert "1111-1.dcm is damaged" in str(refusal(folder))


@pytest.mark.parametrize("also_lost", ["ImagePositionPatient", "SOPClassUID"])
def test_a_ct_image_without_a_size_is_not_passed_over(tmp_path, also_lost):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    image = pydicom.dcmread(folder / "1111-1.dcm")
    del image.Rows
    delattr(image, also_lost)
    image.save_as(folder / "1111-1.dcm")
    assert "1111-1.dcm is damaged" in str(refusal(folder))


def test_other_files_are_passed_over_and_said(tmp_path):
    folder = series_in(tmp_path / "case")
    (folder / "notes.txt").write_text("Bed 4")
    assert read_series(folder).notes == ("What is no DICOM image was passed over: notes.txt.",)


def test_an_enhanced_ct_is_its_frames_in_their_places(tmp_path):
    scan = read_volume(enhanced_in(tmp_path / "case" / "ct.dcm"))
    alike = read_series(series_in(tmp_path / "single"))
    np.testing.assert_array_equal(scan.hu, values())
    assert scan.geometry.same_grid(alike.geometry)
    assert read_volume(tmp_path / "case").geometry.same_grid(alike.geometry)
    assert describe_series(tmp_path / "case" / "ct.dcm")[0].slices == SLICES


def test_frames_that_say_themselves_that_they_are_scouts_are_left_out(tmp_path):
    def say(image):
        for number, group in enumerate(image.PerFrameFunctionalGroupsSequence):
            kind = pydicom.Dataset()
            kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME" if number else "LOCALIZER", "NONE"]
            group.CTImageFrameTypeSequence = [kind]

    scan = read_series(enhanced_in(tmp_path / "case" / "ct.dcm", order=(3, 0, 1, 2), change=say).parent)
    np.testing.assert_array_equal(scan.hu, values()[..., :3])
    assert scan.notes == ("1 scout image among the slices left out.",)


def test_of_uncompressed_frames_nobody_says_that_they_are_compressed(tmp_path):
    def brighten(image):
        stored = np.zeros((SLICES, ROWS, COLUMNS), np.int16)
        stored[-1, ROWS // 2 :] = 2000  # an edge along a row that no neighbour has
        image.PixelData = stored.tobytes()

    path = enhanced_in(tmp_path / "ct.dcm", change=brighten)
    assert read_series(path).notes == ()
    image = pydicom.dcmread(path)
    image.compress(RLELossless)
    image.save_as(path)
    assert "has compressed pixels that may be damaged" in read_series(path).notes[0]


def test_a_slice_that_is_replaced_while_the_series_is_read_is_not_taken_for_another(tmp_path, monkeypatch):
    folder = series_in(tmp_path / "case")
    hounsfield = dicom.hounsfield

    def with_another(*read):
        file = next(folder.iterdir())
        image = pydicom.dcmread(file)
        image.PatientComments = "longer by a little"
        image.save_as(file)
        return hounsfield(*read)

    monkeypatch.setattr(dicom, "hounsfield", with_another)
    assert "cannot be read; copy or export it again" in str(refusal(folder))


@pytest.mark.parametrize("named", ["", " "])
def test_no_series_is_not_one_that_is_missing(tmp_path, named):
    folder = series_in(tmp_path / "case")
    assert str(refusal(folder, series=named)) == "No series of case is named; choose one of its 1 by number or UID."


def test_an_enhanced_ct_with_a_frame_missing_is_refused(tmp_path):
    path = enhanced_in(tmp_path / "ct.dcm", order=(0, 1, 3))
    assert "not evenly spaced: frame 1 and frame 2" in str(refusal(path))


def test_an_enhanced_ct_whose_frames_are_not_all_described_is_refused(tmp_path):
    def drop(image):
        image.PerFrameFunctionalGroupsSequence = list(image.PerFrameFunctionalGroupsSequence)[:3]

    assert "holds 4 frames and describes 3" in str(refusal(enhanced_in(tmp_path / "ct.dcm", change=drop)))


def test_one_slice_of_a_series_is_not_taken_for_the_scan(tmp_path):
    folder = series_in(tmp_path / "case")
    path = next(folder.iterdir())
    assert str(refusal(path)) == f"{path.name} is one slice of a series; open its folder, case."


@pytest.mark.parametrize("kind", ["folder", "files", "enhanced"])
def test_a_zipped_folder_opens_like_the_folder(tmp_path, kind):
    folder = tmp_path / "case"
    if kind == "enhanced":
        enhanced_in(folder / "ct.dcm")
    else:
        series_in(folder)
    path = tmp_path / "Fälle 2026.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, file.name if kind == "files" else f"exam/ct/{file.name}")
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.hu, values())
    assert scan.geometry.same_grid(read_series(folder).geometry)
    assert scan.name == "Fälle 2026"


def test_a_damaged_zip_is_refused(tmp_path):
    folder = series_in(tmp_path / "case")
    path = tmp_path / "case.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF  # in the pixels of a slice: only the zip's own checksum knows
    path.write_bytes(content)
    assert "cannot be read" in str(refusal(path))
    path.write_bytes(content[:-30])
    with pytest.raises(ValueError, match=r"case\.zip is a damaged zip file"):
        read_volume(path)


def test_a_zip_whose_packed_slices_are_damaged_is_refused(tmp_path):
    folder = series_in(tmp_path / "case")
    path = tmp_path / "case.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    content = bytearray(path.read_bytes())
    content[45:120] = b"\xff" * 75  # no stream that deflate could have made
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as DICOM"):
        read_volume(path)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=lambda each: each.name
)
def test_every_uncompressed_syntax_gives_the_same_voxels(tmp_path, syntax):
    folder = series_in(tmp_path / "case")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        if syntax == ExplicitVRBigEndian:
            image.PixelData = image.pixel_array.astype(">i2").tobytes()
        image.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            path, image, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, force_encoding=True
        ) if syntax.is_implicit_VR or not syntax.is_little_endian else image.save_as(path)
    np.testing.assert_array_equal(read_series(folder).hu, values())


def large_in(folder):
    """Write slices large enough for every encoder, and return them with their Hounsfield units."""
    big = [np.kron(stored_slice(index), np.ones((12, 12), np.int16)) for index in range(SLICES)]
    how = {"Rows": ROWS * 12, "Columns": COLUMNS * 12, "PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}
    series_in(folder, lambda index: {**how, "PixelData": big[index].tobytes()})
    return folder, np.stack([plane.T - 1024 for plane in big], axis=2)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda each: each.name)
def test_compressed_slices_give_the_same_voxels(tmp_path, syntax):
    folder, hu = large_in(tmp_path / "case")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.compress(syntax, generate_instance_uid=False)
        image.save_as(path)
    scan = read_series(folder)
    np.testing.assert_array_equal(scan.hu, hu)
    assert scan.geometry.spacing_mm[2] == pytest.approx(GAP_MM)


@pytest.mark.parametrize(
    ("process", "uid"),
    [("JPEGLosslessProcess14_1", "1.2.840.10008.1.2.4.70"), ("JPEG2000Lossless", "1.2.840.10008.1.2.4.90")],
)
def test_what_archives_compress_with_is_decoded(tmp_path, process, uid):
    folder, hu = large_in(tmp_path / "case")
    for path in folder.iterdir():
        by_gdcm(path, process)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == uid
    np.testing.assert_array_equal(read_series(folder).hu, hu)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_compressed_slices_that_are_damaged_are_refused(tmp_path, share):
    folder, _ = large_in(tmp_path / "case")
    for path in sorted(folder.iterdir()):
        image = pydicom.dcmread(path)
        image.compress(JPEG2000Lossless, generate_instance_uid=False)
        image.save_as(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert path.name in str(refusal(folder))


def test_overlays_in_unused_bits_are_no_density(tmp_path):
    stored = stored_slice(2).astype(np.uint16)
    stored[1, 2] |= 0x8000
    how = {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}
    folder = series_in(
        tmp_path / "case", lambda index: {**how, **({"PixelData": stored.tobytes()} if index == 2 else {})}
    )
    np.testing.assert_array_equal(read_series(folder).hu, values())


def test_slices_of_one_series_stored_in_two_ways_are_refused(tmp_path):
    assert "the way their pixels are stored" in str(
        refusal(series_in(tmp_path / "case", one_slice(2, BitsStored=12, HighBit=11)))
    )


LOST = {"ImagePositionPatient": None, "ImageOrientationPatient": None}


def test_slices_without_a_place_open_with_a_stated_spacing_from_the_apex_down(tmp_path):
    folder = series_in(tmp_path / "case", all_slices(**LOST))
    error = refusal(folder)
    assert isinstance(error, UnstatedError)
    assert error.question == "spacing"
    scan = read_series(folder, Stated(spacing_mm=(0.7, 0.8, 4.0)))
    assert scan.geometry.orientation == "LPS"
    assert scan.geometry.spacing_mm == pytest.approx((0.7, 0.8, 4.0))
    np.testing.assert_array_equal(scan.hu, values())  # the numbers of these slices count from the last one down
    assert "stacked by their numbers" in scan.notes[0]


def test_a_stated_spacing_does_not_replace_what_the_slices_say(tmp_path):
    scan = read_series(series_in(tmp_path / "case"), Stated(spacing_mm=(9.0, 9.0, 9.0)))
    assert scan.geometry.spacing_mm[2] == pytest.approx(GAP_MM)
    assert "was not used" in scan.notes[0]


def test_when_only_one_slice_has_lost_its_place_a_spacing_does_not_help(tmp_path):
    folder = series_in(tmp_path / "case", one_slice(2, **LOST), series_uid="1.2.3.1111")
    assert "1111-3.dcm" in str(refusal(folder, spacing_mm=(1.0, 1.0, 1.0)))


def test_the_odd_series_opens_only_with_a_stated_spacing_and_as_ct_only_with_a_window(covseg_data):
    folder = covseg_data / "dicom" / "odd_nm"
    with pytest.raises(UnstatedError, match="apart in mm"):
        read_volume(folder)
    scan = read_volume(folder, Stated(spacing_mm=(0.68, 0.68, 6)))
    assert scan.hu.shape == (630, 630, 4)
    assert any("NM" in note for note in scan.notes)
    assert any("not Hounsfield units" in note for note in scan.notes)
    scan = read_volume(folder, Stated(spacing_mm=(0.68, 0.68, 6), window_hu=(-1250, 250)))
    assert (scan.hu.min(), scan.hu.max()) == (-1250, 250)
    assert not any("not Hounsfield units" in note for note in scan.notes)


def test_a_real_series_of_another_kind_is_not_opened_by_a_spacing(tmp_path):
    folder = series_in(tmp_path / "case", all_slices(Modality="MR"))
    assert "modality MR" in str(refusal(folder, spacing_mm=(1.0, 1.0, 1.0)))


def test_a_series_is_not_mixed_with_another_of_the_same_place(tmp_path):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    other = slice_of(1, "1.2.3.1111", PixelData=np.zeros((ROWS, COLUMNS), np.int16).tobytes())
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    other.save_as(folder / "other.dcm", enforce_file_format=True)
    assert "in the same place and differ" in str(refusal(folder))


def test_turned_slices_keep_their_voxel_order(tmp_path):
    scan = read_series(series_in(tmp_path / "case", turn=TURN[:, [1, 2, 0]]))
    np.testing.assert_array_equal(scan.hu, values())


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1, 2, 3, 4), ""),
        ((7, 5, 3, 1), ""),
        ((1, 2, 4, 5), "lacks slices after number 2"),
        ((1, 3, 3, 5), "the same one"),
        ((1, 2, 3, None), "without a number"),
        ((None, None, None, None), ""),
    ],
)
def test_slices_without_positions_are_numbered_without_holes(tmp_path, numbers, words):
    lost = {"ImagePositionPatient": None}
    folder = series_in(tmp_path / "case", lambda index: {**lost, "InstanceNumber": numbers[index]})
    if words:
        assert words in str(refusal(folder, spacing_mm=(COLUMN_MM, ROW_MM, 4.0)))
    else:
        assert len(read_series(folder, Stated(spacing_mm=(COLUMN_MM, ROW_MM, 4.0))).notes) == 1


@pytest.mark.parametrize(("column_mm", "is_said"), [(0.701, False), (0.75, True), (0.8, True)])
def test_a_stated_spacing_that_is_not_the_files_own_is_said(tmp_path, column_mm, is_said):
    folder = series_in(tmp_path / "case", all_slices(ImagePositionPatient=None))
    notes = read_series(folder, Stated(spacing_mm=(column_mm, ROW_MM, 4.0))).notes
    assert any("says that its pixels are 0.7 × 0.8 mm" in note for note in notes) is is_said


def test_a_file_that_counts_fewer_frames_than_it_holds_is_refused(tmp_path):
    def forget(image):
        image.NumberOfFrames = 3
        image.PerFrameFunctionalGroupsSequence = list(image.PerFrameFunctionalGroupsSequence)[:3]

    assert "counts 3 frames and holds 4" in str(refusal(enhanced_in(tmp_path / "ct.dcm", change=forget)))


# --- compressed -------------------------------------------------------------------------------------------------------


def by_gdcm(path, process):
    """Store a slice anew in one of gdcm's syntaxes."""
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def test_jpeg_extended_of_12_bits_opens_and_its_loss_is_said(tmp_path, capfd):
    folder, hu = large_in(tmp_path / "case")
    for path in folder.iterdir():
        by_gdcm(path, "JPEGExtendedProcess2_4")
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.51"
    scan = read_series(folder)
    assert np.abs(scan.hu - hu).max() <= 1
    assert any("compressed with loss" in note for note in scan.notes)
    path.write_bytes(path.read_bytes()[:-800])
    assert f"the pixels of {path.name} cannot be read; copy or export it again" in str(refusal(folder))
    assert capfd.readouterr().err == ""


def test_jpeg_extended_of_another_encoder_is_decoded():
    """A picture of pydicom's own, 12 bits in the stream itself; its values were checked with libjpeg."""
    from pydicom.data import get_testdata_file

    from napari_covseg.io.dicom_jpeg import frame_of_12_bit_jpeg, is_12_bit_jpeg

    image = pydicom.dcmread(get_testdata_file("JPEG-lossy.dcm", download=False))
    assert is_12_bit_jpeg(image)
    stored = frame_of_12_bit_jpeg(image, 0)
    assert (stored.shape, int(stored.min())) == ((1024, 256), 0)
    assert int(stored.max()) == pytest.approx(264, abs=1)


def run_lengths(tmp_path):
    folder, hu = large_in(tmp_path / "case")
    for path in sorted(folder.iterdir()):
        image = pydicom.dcmread(path)
        image.compress(RLELossless, generate_instance_uid=False)
        image.save_as(path)
    return folder, path, hu


def test_a_damaged_frame_of_run_lengths_is_refused_and_not_blamed_on_a_missing_decoder(tmp_path):
    folder, path, _ = run_lengths(tmp_path)
    content = bytearray(path.read_bytes())
    middle = len(content) - 400
    content[middle : middle + 60] = b"\x81" * 60
    path.write_bytes(content)
    message = str(refusal(folder))
    assert f"the pixels of {path.name} cannot be read; copy or export it again" in message


def test_run_lengths_of_more_than_an_image_are_said(tmp_path):
    folder, path, hu = run_lengths(tmp_path)
    image = pydicom.dcmread(path)
    (frame,) = pydicom.encaps.generate_frames(image.PixelData, number_of_frames=1)
    image.PixelData = pydicom.encaps.encapsulate([frame + b"\x01\x01\x02\x00"])
    image.save_as(path)
    scan = read_series(folder)
    np.testing.assert_array_equal(scan.hu, hu)
    assert scan.notes[0].startswith(f"case has compressed pixels that may be damaged ({path.name}")


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda each: each.name)
def test_a_compressed_enhanced_ct_opens_whole_or_not_at_all(tmp_path, syntax):
    def enlarge(image):
        frames = np.frombuffer(image.PixelData, np.int16).reshape(-1, ROWS, COLUMNS)
        image.PixelData = np.kron(frames, np.ones((1, 12, 12), np.int16)).tobytes()
        image.Rows, image.Columns = ROWS * 12, COLUMNS * 12
        image.PixelRepresentation, image.BitsStored, image.HighBit = 0, 12, 11

    path = enhanced_in(tmp_path / "ct.dcm", change=enlarge)
    plain = read_volume(path)
    image = pydicom.dcmread(path)
    image.compress(syntax, generate_instance_uid=False)
    image.save_as(path)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.hu, plain.hu)
    assert scan.geometry.same_grid(plain.geometry)
    content = path.read_bytes()
    path.write_bytes(content[: int(0.8 * len(content))])
    assert "ct.dcm" in str(refusal(path))
    path.write_bytes(content)
    image = pydicom.dcmread(path)
    image.NumberOfFrames = 3
    image.PerFrameFunctionalGroupsSequence = list(image.PerFrameFunctionalGroupsSequence)[:3]
    image.save_as(path)
    refusal(path)


# --- what slices say of themselves ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "words"),
    [("HU", ""), (None, ""), ("US", "does not say what its values are"), ("HU_MOD", "were computed")],
)
def test_what_may_be_hounsfield_units_opens(tmp_path, kind, words):
    notes = read_series(series_in(tmp_path / "case", all_slices(RescaleType=kind) if kind else None)).notes
    assert words in notes[0] if words else notes == ()


@pytest.mark.parametrize("kind", ["MGML", "OD", "Z_EFF"])
def test_values_of_another_kind_are_refused(tmp_path, kind):
    assert f"rescale type {kind}" in str(refusal(series_in(tmp_path / "case", all_slices(RescaleType=kind))))


def test_an_enhanced_ct_of_another_kind_is_refused(tmp_path):
    def change(image):
        image.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleType = "MGML"

    assert "rescale type MGML" in str(refusal(enhanced_in(tmp_path / "ct.dcm", change=change)))


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"SpacingBetweenSlices": 2.5}, ""),
        ({"SpacingBetweenSlices": -2.5}, ""),
        ({"SpacingBetweenSlices": 25}, "says that its slices are 25 mm apart and places them 2.5 mm apart"),
        ({"SpacingBetweenSlices": 2.56}, "says that its slices are 2.56 mm apart"),
        ({"SliceThickness": 0.8}, "what is between was not scanned"),
        ({"SliceThickness": 0.84}, ""),
        ({"SliceThickness": 25}, "only 2.5 mm apart"),
        ({"ReconstructionDiameter": 3.5}, ""),
        ({"ReconstructionDiameter": 35}, "says that 35 mm were reconstructed, and its pixels make 4 mm"),
        ({"LossyImageCompression": "01"}, "compressed with loss"),
        ({"LossyImageCompression": "00"}, ""),
    ],
)
def test_what_slices_say_of_their_lengths_is_compared_with_their_places(tmp_path, says, words):
    notes = read_series(series_in(tmp_path / "case", all_slices(**says))).notes
    assert words in notes[0] if words else notes == ()


def test_a_window_is_not_applied_to_slices_in_hounsfield_units(tmp_path):
    folder = series_in(tmp_path / "case", all_slices(**LOST))
    plain = read_volume(folder, Stated(spacing_mm=(0.7, 0.8, 4.0)))
    scan = read_volume(folder, Stated(spacing_mm=(0.7, 0.8, 4.0), window_hu=(-1350, 150)))
    np.testing.assert_array_equal(scan.hu, plain.hu)
    assert "the window that was stated was not used" in scan.notes[-1]


@pytest.mark.parametrize(
    ("bits", "opens"),
    [
        ({}, True),
        ({"BitsStored": 12, "HighBit": 11}, True),
        ({"BitsStored": 20, "HighBit": 19}, False),
        ({"BitsStored": 12, "HighBit": 15}, False),
    ],
)
def test_values_in_an_unusual_part_of_their_bits_are_refused(tmp_path, bits, opens):
    folder = series_in(tmp_path / "case", all_slices(**bits))
    if opens:
        assert read_series(folder).hu.shape[2] == SLICES
    else:
        assert "unusual part of their bits" in str(refusal(folder))


@pytest.mark.parametrize("tag", ["PatientID", "StudyInstanceUID", "FrameOfReferenceUID"])
@pytest.mark.parametrize("uid", ["1.2.3.1111", ""])
def test_slices_of_two_patients_or_studies_under_one_series_are_two_series(tmp_path, tag, uid):
    one, two = ("4711", "4712") if tag == "PatientID" else ("1.2.9.1", "1.2.9.2")
    how = {"SeriesInstanceUID": uid}
    folder = series_in(tmp_path / "case", lambda index: {**how, tag: one if index < 2 else two})
    error = refusal(folder)
    assert isinstance(error, UnstatedError)
    assert "2 DICOM series" in str(error)
    assert "4711" not in str(error)
    assert len({each.uid for each in error.series}) == 2
    for number, each in enumerate(error.series, start=1):
        scan = read_series(folder, Stated(series=str(number)))
        assert scan.hu.shape[2] == each.slices == 2
        if each.uid:
            np.testing.assert_array_equal(read_series(folder, Stated(series=each.uid)).hu, scan.hu)
    apart = series_in(tmp_path / "apart", lambda index: {tag: f"1.2.{index}"}, series_uid="1.2.3.1111")
    if tag != "PatientID":  # as converters make them up
        assert "study or place of their own" in read_series(apart).notes[0]
    else:
        assert "each of another patient" in str(refusal(apart))


def test_slices_that_name_no_series_are_said(tmp_path):
    scan = read_series(series_in(tmp_path / "case", all_slices(SeriesInstanceUID="")))
    assert scan.notes == ("The slices of case do not say which series they are of; check that they belong together.",)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [((1, 2, 3, 4), ""), ((0, 1, 2, 3), ""), ((3, 4, 5, 6), "from 3 on"), ((1, 3, 5, 7), "numbered 1, 3, 5 …: of 2")],
)
def test_slices_lost_at_an_end_or_everywhere_are_told_by_their_numbers(tmp_path, numbers, words):
    notes = read_series(series_in(tmp_path / "case", lambda index: {"InstanceNumber": numbers[index]})).notes
    assert bool(notes) is bool(words)
    assert words in "".join(notes)


@pytest.mark.parametrize(
    ("signed", "bits", "stored", "words"),
    [
        (0, 12, 2500, ""),
        (0, 11, 2500, "use more bits"),
        (0, 10, 2500, "use more bits"),
        (1, 13, 2500, ""),
        (1, 12, 2500, "use more bits"),
    ],
)
def test_bits_that_are_in_use_and_do_not_count_are_said(tmp_path, signed, bits, stored, words):
    plane = np.full((ROWS, COLUMNS), 900, np.int16)
    plane[1, :2] = stored
    how = {"PixelRepresentation": signed, "BitsStored": bits, "HighBit": bits - 1, "PixelData": plane.tobytes()}
    notes = read_series(series_in(tmp_path / "few", all_slices(**how))).notes
    assert bool(notes) is bool(words)
    assert words in "".join(notes)
    plane[1:4] = stored
    folder = series_in(tmp_path / "many", all_slices(**{**how, "PixelData": plane.tobytes()}))
    if words:
        assert f"do not fit into the {bits} bits" in str(refusal(folder))
    else:
        assert read_series(folder).notes == ()


@pytest.mark.parametrize(("rows", "columns"), [(ROWS * 24, COLUMNS * 12), (ROWS * 12, COLUMNS * 6)])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless], ids=lambda each: each.name)
def test_compressed_pixels_of_another_size_than_stated_do_not_crash_the_program(tmp_path, syntax, rows, columns):
    folder, _ = large_in(tmp_path / "case")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.compress(syntax, generate_instance_uid=False)
        image.Rows, image.Columns = rows, columns
        image.save_as(path)
    assert "cannot be read; copy or export it again" in str(refusal(folder))


@pytest.mark.parametrize("signed", [0, 1])
def test_compressed_values_that_are_wrongly_said_to_have_a_sign_are_said(tmp_path, signed):
    folder, _ = large_in(tmp_path / "case")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.PixelData = (image.pixel_array + 300).astype(np.uint16).tobytes()
        image.compress(JPEG2000Lossless, generate_instance_uid=False)
        image.PixelRepresentation = signed
        image.save_as(path)
    assert any("far below air" in note for note in read_series(folder).notes) is bool(signed)


@pytest.mark.parametrize(("number", "known"), [("4711", True), ("ANONYMOUS", False), ("", False)])
def test_scans_of_one_patient_know_each_other_by_a_hash_of_the_number(number, known, tmp_path):
    how = {"PatientID": number}
    one, two = (read_series(series_in(tmp_path / name, lambda _: how)) for name in ("one", "two"))
    assert one.patient_sha256 == two.patient_sha256
    assert bool(one.patient_sha256) is known
    assert not number or number not in one.patient_sha256
    assert not known or one.patient_sha256 not in repr(one)


@pytest.mark.parametrize("number", ["4711", "X100", "", "000000", "N/A", "xxx", "-", "Anonymous Patient", "REMOVED"])
def test_a_number_that_many_patients_have_makes_no_two_scans_one_patients(tmp_path, number):
    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.PatientID = number
        image.save_as(path)
    assert bool(read_volume(folder).patient_sha256) is (number in ("4711", "X100"))
