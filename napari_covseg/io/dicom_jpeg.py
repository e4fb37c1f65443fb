"""JPEG Extended with 12 bits, which pydicom leaves to no decoder; gdcm knows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.encaps import get_frame
from pydicom.uid import JPEGExtended12Bit

PIXEL_DATA = (0x7FE0, 0x0010)


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
