"""What is read of a DICOM file, and nothing else.

A patient's name or birth date never enters the program; the ID only as a number by which two can be told apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources.abc import Traversable
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    MediaStorageDirectoryStorage,
)

Vector = npt.NDArray[np.float64]

_KEYWORDS = (
    *("SOPClassUID", "SeriesInstanceUID", "SeriesDescription", "Modality", "ImageType", "InstanceNumber"),
    *("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("NumberOfFrames", "ImagesInAcquisition", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "ReconstructionDiameter", "LossyImageCompression"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SmallestImagePixelValue", "LargestImagePixelValue"),
)
_TAG_OF = {keyword: Tag(keyword) for keyword in _KEYWORDS}
TAGS = list(_TAG_OF.values())
PLAIN = ("CS", "DS", "IS", "SS", "UI", "US")
_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "ReconstructionDiameter": "CTReconstructionSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "ImageType": "CTImageFrameTypeSequence",
}
"""Where an enhanced image keeps, per frame or shared by all, what others have at the top."""

CALLED_IN_FRAMES = {"ImageType": "FrameType"}

NOBODY = {"anon", "anonym", "anonymous", "anonymised", "anonymized", "anonymouspatient", "deidentified", "na", "none"}
NOBODY |= {"null", "patient", "patientid", "removed", "test", "unknown"}
"""Patient numbers that many patients have: their small letters and digits. So is one of noughts or of x alone."""

PATIENT, STUDY, REFERENCE = (Tag(each) for each in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"))
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
LONGEST_ELEMENT_HEAD = 12
PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"
UNDEFINED_LENGTH = 0xFFFFFFFF
CT_STORAGE = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A file's header, and where it ends: the first bytes of what follows, which are the pixels' own head."""

    header: pydicom.Dataset
    place: int
    element: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image: where it says it is, in LPS mm, and how its pixels are stored. What it does not say is empty.

    `between_mm` is how far it says slices are apart, `field_mm` how wide a circle was reconstructed; 0 where it says
    nothing. `extremes` are the least and the greatest pixel it says it holds. `native_at` is the byte where its pixels
    begin if they lie in the file as numpy has them, else 0.
    """

    file: Traversable
    index: int
    origin: Vector
    axes: Vector
    spacing_mm: Vector
    thickness_mm: float
    between_mm: float
    field_mm: float
    size: tuple[int, int]
    rescale: tuple[float, ...]
    rescale_type: str
    padding: tuple[float, ...]
    stored: tuple[Any, ...]
    number: int | None
    extremes: tuple[int, ...]
    is_localizer: bool
    is_compressed: bool
    is_lossy: bool
    of_acquisition: int
    native_at: int

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        return self.file.name if self.index < 0 else f"frame {self.index + 1}"


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One DICOM file that holds an image, or several as frames.

    `owner` is a hash of the patient's number, empty where there is none; `groups` are the UIDs of the study and of the
    frame of reference.
    """

    series_uid: str
    owner: str
    groups: tuple[str, str]
    modality: str
    description: str
    frames: tuple[Frame, ...]


def image_of(file: Traversable, head: Head) -> Image | None:
    """Return what a header says, or None if it belongs to no image (a report, a list of what is displayed).

    Raises
    ------
    ValueError
        If it belongs to a CT image that has lost its size.
    """
    header = head.header
    if not all(_size(header)):
        if getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return None  # the index of a disc, under another name than its own
        if str(header.get("SOPClassUID")) in ("None", *CT_STORAGE) or "ImagePositionPatient" in header:
            raise ValueError(
                f"{file.name} is damaged: it does not say how large its image is; copy or export it again."
            )
        return None
    _refuse_undescribed(file, head)
    modality, description = (str(_said(header, tag) or "") for tag in ("Modality", "SeriesDescription"))
    frames = tuple(_frames(file, header))
    if len(frames) == 1:
        frames = (replace(frames[0], native_at=_native_pixels(head)),)
    uid = str(_said(header, "SeriesInstanceUID") or "")
    owner = _hashed(_as_stored(header, PATIENT))
    groups = (_as_stored(header, STUDY), _as_stored(header, REFERENCE))
    return Image(uid, owner, groups, modality, description, frames)


def _hashed(number: str) -> str:
    """Return a patient's number as a hash, nothing of one that stands for anybody."""
    bare = "".join(each for each in number.casefold() if each.isalnum())
    is_anybody = not bare.strip("0") or not bare.strip("x") or bare in NOBODY
    return "" if is_anybody else hashlib.sha256(number.encode()).hexdigest()


def pixel_bytes(header: pydicom.Dataset) -> int:
    """Return how many bytes the pixels take that a header describes, once they are unpacked."""
    return int(_said(header, "NumberOfFrames") or 1) * _frame_bytes(header)


def _frame_bytes(header: pydicom.Dataset) -> int:
    samples, bits = (int(_said(header, tag) or 0) for tag in ("SamplesPerPixel", "BitsAllocated"))
    columns, rows = _size(header)
    return columns * rows * samples * bits // 8


def _as_stored(header: pydicom.Dataset, tag: BaseTag) -> str:
    """Return what a tag says, to be compared only: parsing it would take longer."""
    if tag not in header:
        return ""
    value = header.get_item(tag).value or b""
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip(" \0")


def _refuse_undescribed(file: Traversable, head: Head) -> None:
    """Refuse a file whose uncompressed pixels are more or fewer than it says: what is left over would be lost."""
    header = head.header
    if _syntax(header) not in NATIVE or head.element[:4] != PIXEL_DATA_TAG:
        return
    count = int(_said(header, "NumberOfFrames") or 1)
    frame_bytes, length = _frame_bytes(header), _pixel_bytes(head)
    if frame_bytes < 2 or length in (0, count * frame_bytes, count * frame_bytes + count * frame_bytes % 2):
        return
    held, rest = divmod(length, frame_bytes)
    if rest < 2 and held > count:
        raise ValueError(
            f"{file.name} is damaged: it counts {count} frame{'s' if count > 1 else ''} and holds {held}; export it "
            "again."
        )
    raise ValueError(
        f"{file.name} is damaged: {header.Columns} × {header.Rows} pixels, as it says, take {count * frame_bytes} "
        f"bytes and it holds {length}; export it again."
    )


def _syntax(header: pydicom.Dataset) -> UID | None:
    return header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None


def _pixel_bytes(head: Head) -> int:
    is_explicit = head.element[4:6] in (b"OW", b"OB", b"UN")
    length = int.from_bytes(head.element[8:12] if is_explicit else head.element[4:8], "little")
    return 0 if length == UNDEFINED_LENGTH else length


def _native_pixels(head: Head) -> int:
    """Return the byte where uncompressed little-endian pixels begin in a file; 0 if pydicom has to find out.

    Reading them from there takes half the time of parsing the header once more.
    """
    header, element, place = head.header, head.element, head.place
    if _syntax(header) not in NATIVE or element[:4] != PIXEL_DATA_TAG or int(_said(header, "NumberOfFrames") or 1) != 1:
        return 0
    is_explicit = element[4:6] in (b"OW", b"OB")
    length = _pixel_bytes(head)
    bytes_each = {8: 1, 16: 2}.get(_said(header, "BitsAllocated"), 0)
    columns, rows = _size(header)
    expected = columns * rows * bytes_each
    return place + (LONGEST_ELEMENT_HEAD if is_explicit else 8) if expected and length == expected + expected % 2 else 0


def _frames(file: Traversable, header: pydicom.Dataset) -> Iterator[Frame]:
    groups: Sequence[Any] = header.get("PerFrameFunctionalGroupsSequence") or ()
    count = int(_said(header, "NumberOfFrames") or 1)
    if groups and len(groups) != count:
        raise ValueError(
            f"{file.name} is damaged: it holds {count} frames and describes {len(groups)}; export it again."
        )
    if not groups:
        yield from (_frame(file, header, (), index) for index in (range(count) if count > 1 else (-1,)))
        return
    shared = (header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    for index, group in enumerate(groups):
        yield _frame(file, header, (group, shared), index)


def _frame(file: Traversable, header: pydicom.Dataset, groups: Sequence[pydicom.Dataset], index: int) -> Frame:
    def say(tag: str) -> Any:
        for group in groups:
            if sequence := group.get(_GROUPS[tag]):
                return sequence[0].get(CALLED_IN_FRAMES.get(tag, tag))
        return _said(header, tag)

    has_no_place = index >= 0 and not groups
    rescale = (*_numbers(say("RescaleSlope")), *_numbers(say("RescaleIntercept")))
    number = _numbers(_said(header, "InstanceNumber"))
    how = (
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
    )
    return Frame(
        file=file,
        index=index,
        origin=np.empty(0) if has_no_place else _numbers(say("ImagePositionPatient")),
        axes=_numbers(say("ImageOrientationPatient")),
        spacing_mm=_numbers(say("PixelSpacing")),
        thickness_mm=float(_numbers(say("SliceThickness")).sum()),
        between_mm=abs(float(_numbers(say("SpacingBetweenSlices")).sum())),
        field_mm=float(_numbers(say("ReconstructionDiameter")).sum()),
        size=_size(header),
        rescale=tuple(float(each) for each in rescale),
        rescale_type=str(say("RescaleType") or "").strip().upper(),
        padding=(*_numbers(_said(header, "PixelPaddingValue")), *_numbers(_said(header, "PixelPaddingRangeLimit"))),
        stored=tuple(_said(header, tag) for tag in how),
        number=int(number[0]) if number.size and index < 0 else None,
        extremes=_extremes(header) if index < 0 else (),
        is_localizer="LOCALIZER" in (say("ImageType") or ()),
        is_compressed=_is_compressed(_syntax(header)),
        is_lossy=str(_said(header, "LossyImageCompression") or "") == "01" or _syntax(header) in LOSSY,
        native_at=0,
        of_acquisition=int(_numbers(_said(header, "ImagesInAcquisition")).sum()),
    )


def _size(header: pydicom.Dataset) -> tuple[int, int]:
    return int(_said(header, "Columns") or 0), int(_said(header, "Rows") or 0)


@lru_cache(maxsize=64)
def _is_compressed(syntax: UID | None) -> bool:
    if syntax is None or syntax.is_private or not syntax.is_transfer_syntax:
        return False
    return bool(syntax.is_encapsulated or syntax.is_deflated)


def _extremes(header: pydicom.Dataset) -> tuple[int, ...]:
    said = [_said(header, tag) for tag in ("SmallestImagePixelValue", "LargestImagePixelValue")]
    return tuple(each for each in said if isinstance(each, int)) if None not in said else ()


def _said(header: pydicom.Dataset, keyword: str) -> Any:
    """Return what a tag says: parsed once for all slices that say the same, which takes half the time."""
    raw = header.get_item(_TAG_OF[keyword])
    if raw is None:
        return None
    if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) and raw.VR in PLAIN:
        return _parsed(raw.tag, raw.VR, raw.value, raw.is_little_endian)
    return header.get(keyword)


@lru_cache(maxsize=4096)
def _parsed(tag: BaseTag, kind: str, value: bytes, is_little_endian: bool) -> Any:
    raw = RawDataElement(tag, kind, len(value), value, 0, False, is_little_endian)
    return convert_raw_data_element(raw).value


def _numbers(value: Any) -> Vector:
    """Return the numbers of a tag; none if it is missing or holds anything else."""
    if value is None:
        return np.empty(0)
    try:
        numbers = np.array(value, dtype=np.float64, ndmin=1)
    except (TypeError, ValueError):
        return np.empty(0)
    return numbers if all(map(isfinite, numbers.flat)) else np.empty(0)  # few: NumPy's own way takes longer
