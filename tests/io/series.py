"""CT series made up here: what tests of DICOM write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

ROWS, COLUMNS, SLICES = 6, 5, 4
ROW_MM, COLUMN_MM, GAP_MM = 0.8, 0.7, 2.5
TURN = Rotation.from_euler("xyz", (12, -7, 25), degrees=True).as_matrix()
FILE_ORDER = (2, 0, 3, 1)


def slice_of(index, series_uid, turn=TURN, gap_mm=GAP_MM, **changes):
    """One CT slice; a change to None removes the tag."""
    stored = np.random.default_rng(index).integers(0, 2000, (ROWS, COLUMNS)).astype(np.int16)
    header = FileMetaDataset()
    header.TransferSyntaxUID = ExplicitVRLittleEndian
    header.MediaStorageSOPClassUID = CTImageStorage
    header.MediaStorageSOPInstanceUID = generate_uid()
    image = pydicom.Dataset()
    image.file_meta = header
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, header.MediaStorageSOPInstanceUID
    image.Modality, image.SeriesInstanceUID, image.SeriesDescription = "CT", series_uid, "Thorax"
    image.PatientName, image.PatientID, image.PatientBirthDate = "Doe^Jane", "4711", "19700101"
    image.InstanceNumber = SLICES - index  # on purpose not the order in space
    image.Rows, image.Columns, image.SamplesPerPixel = ROWS, COLUMNS, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.PixelSpacing = [ROW_MM, COLUMN_MM]
    image.SliceThickness = 2
    image.ImageOrientationPatient = numbers(turn[:, :2].T.ravel())
    image.ImagePositionPatient = numbers(np.array([-120.5, 33.25, -400.0]) + turn[:, 2] * gap_mm * index)
    image.PixelData = stored.tobytes()
    for tag, value in changes.items():
        if value is None:
            delattr(image, tag)
        elif isinstance(value, pydicom.DataElement):
            image.add(value)
        else:
            setattr(image, tag, value)
    return image


def numbers(values):
    return [pydicom.valuerep.format_number_as_ds(float(value)) for value in values]


def series_in(folder, change=None, turn=TURN, series_uid=None, count=SLICES, gap_mm=GAP_MM):
    """Write a series under shuffled names; `change(index)` says which tags differ in one slice."""
    folder.mkdir(exist_ok=True)
    uid = series_uid or generate_uid()
    for index in range(count):
        image = slice_of(index, uid, turn, gap_mm, **(change(index) if change else {}))
        order = FILE_ORDER[index] if count == SLICES else index
        image.save_as(folder / f"{uid[-4:]}-{order}.dcm", enforce_file_format=True)
    return folder


def all_slices(**changes):
    return lambda index: changes


def one_slice(number, **changes):
    return lambda index: changes if index == number else {}


def moved_by(number, shift_mm, turn=TURN, gap_mm=GAP_MM):
    shift = np.asarray(shift_mm, dtype=float)
    place = np.array([-120.5, 33.25, -400.0]) + turn[:, 2] * gap_mm * number + turn @ shift
    return one_slice(number, ImagePositionPatient=numbers(place))


def enhanced_in(path: Path, order=(2, 0, 3, 1), turn=TURN, change=None):
    """Write the same slices as frames of one enhanced CT file, in another order than in space."""
    image = slice_of(0, generate_uid(), turn)
    slices = [slice_of(index, "1.2", turn) for index in order]
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(image, tag)
    del image.RescaleSlope, image.RescaleIntercept
    image.NumberOfFrames = len(order)
    image.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    shared = image.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence = [_items(ImageOrientationPatient=slices[0].ImageOrientationPatient)]
    shared.PixelMeasuresSequence = [_items(PixelSpacing=[ROW_MM, COLUMN_MM], SliceThickness=2)]
    shared.PixelValueTransformationSequence = [_items(RescaleSlope=1, RescaleIntercept=-1024)]
    image.PerFrameFunctionalGroupsSequence = [
        _items(PlanePositionSequence=[_items(ImagePositionPatient=each.ImagePositionPatient)]) for each in slices
    ]
    image.PixelData = b"".join(each.PixelData for each in slices)
    if change is not None:
        change(image)
    path.parent.mkdir(exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def stored_slice(index):
    """The stored numbers of one slice, (row, column); its Hounsfield units are these less 1024."""
    return np.frombuffer(slice_of(index, "1.2").PixelData, np.int16).reshape(ROWS, COLUMNS)


def _items(**tags):
    item = pydicom.Dataset()
    for tag, value in tags.items():
        setattr(item, tag, value)
    return item
