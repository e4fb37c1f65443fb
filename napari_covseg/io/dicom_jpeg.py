"""JPEG in DICOM: its own word on its size, and 12-bit JPEG Extended, which of all decoders only gdcm knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.encaps import get_frame
from pydicom.uid import JPEGExtended12Bit, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

JPEG_SYNTAXES = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes)
MARK = 0xFF
FRAME_MARKS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
"""Which marks begin a frame header, of JPEG and (the last) of JPEG-LS."""

PIXEL_DATA = (0x7FE0, 0x0010)


def refuse_another_size(image: pydicom.Dataset, index: int) -> None:
    """Refuse a frame of JPEG or JPEG-LS whose own size is not that of the image: decoders crash on it.

    Raises
    ------
    ValueError
        If it is not.
    """
    if image.file_meta.TransferSyntaxUID not in JPEG_SYNTAXES:
        return
    packed = get_frame(image.PixelData, index, number_of_frames=int(image.get("NumberOfFrames") or 1))
    if _size_in(packed) not in (None, (int(image.Rows), int(image.Columns))):
        raise ValueError("its pixels are of another size than it states")


def _size_in(packed: bytes) -> tuple[int, int] | None:
    """Return the rows and columns in the frame header of a JPEG or JPEG-LS stream (ITU-T T.81, B.2); None without."""
    at = 2
    while at + 9 <= len(packed) and packed[at] == MARK:
        if packed[at + 1] == MARK:
            at += 1
        elif packed[at + 1] in FRAME_MARKS:
            return int.from_bytes(packed[at + 5 : at + 7]), int.from_bytes(packed[at + 7 : at + 9])
        else:
            at += 2 + int.from_bytes(packed[at + 2 : at + 4])
    return None


def is_12_bit_jpeg(image: pydicom.Dataset) -> bool:
    """Whether an image's pixels are JPEG Extended with more than 8 bits."""
    return bool(image.file_meta.TransferSyntaxUID == JPEGExtended12Bit and int(image.BitsStored) > 8)


def frame_of_12_bit_jpeg(image: pydicom.Dataset, index: int) -> npt.NDArray[Any]:
    """Return the stored numbers of one frame, (row, column).

    Raises
    ------
    ValueError
        If gdcm cannot decode it, whole.
    """
    import gdcm

    packed = get_frame(image.PixelData, index, number_of_frames=int(image.get("NumberOfFrames") or 1))
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(packed)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(*PIXEL_DATA))
    element.SetValue(fragments.__ref__())
    picture = gdcm.Image()
    picture.SetNumberOfDimensions(2)
    picture.SetDimensions((int(image.Columns), int(image.Rows), 1))
    picture.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)
    picture.SetPhotometricInterpretation(grey)
    picture.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    bits = int(image.BitsStored)
    picture.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, int(image.PixelRepresentation)))
    buffer = picture.GetBuffer()
    if buffer is None:
        raise ValueError("gdcm could not decode the frame")
    stored = np.frombuffer(buffer.encode("utf-8", "surrogateescape"), "<i2" if image.PixelRepresentation else "<u2")
    return stored.reshape(int(image.Rows), int(image.Columns))
