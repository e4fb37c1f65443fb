"""NIfTI in; `nifti_out` is the way out."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from napari_covseg.io.files import locked, stem_of
from napari_covseg.io.nifti_place import place_of
from napari_covseg.io.nifti_voxels import hounsfield, is_scaled, stated_scale, stored_values
from napari_covseg.volume import LESIONS, ClassScheme, LabelMap, Provenance, Volume

DESCRIPTION = "napari_covseg label map"
WHOLE_TOLERANCE = 1e-3
"""Labels stored with a scale factor come back this close to whole numbers."""

USUAL_OFFSETS_HU = (0.0, -1000.0, -1024.0, -8192.0)
UNREADABLE = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    zlib.error,
)


def read_volume(path: Path) -> Volume:
    """Return the scan in a NIfTI file, in the file's own voxel order; its notes tell what is doubtful about it.

    Voxels without a number, out to the edge of a slice, are outside the field of view: air.

    Raises
    ------
    ValueError
        If the file is not a whole, readable 3-D NIfTI image that fits into memory.
    """
    image, repairs = _opened(path)
    geometry, notes = place_of(image, path.name)
    notes += _repaired(path, repairs)
    hu, missing = hounsfield(image, path)
    if missing:
        notes += (f"{path.name} has {missing} voxels without a number outside the field of view; they are air now.",)
    slope, offset = float(image.dataobj.slope), float(image.dataobj.inter)
    if is_scaled(image) and (slope != 1 or offset not in USUAL_OFFSETS_HU):
        notes += (f"{path.name} stores its values scaled by {slope:g} and moved by {offset:g}, as its header says.",)
    if not all(math.isfinite(number) for number in stated_scale(image, path)):
        scaled = f"{path.name} says with no number (NaN or infinite) how its values are scaled"
        notes += (f"{scaled}; they were taken as they are stored.",)
    return Volume(hu, geometry, stem_of(path), notes)


def read_labels(path: Path, scheme: ClassScheme = LESIONS) -> LabelMap:
    """Return the label map in a NIfTI file; its notes tell what is doubtful about its place.

    Raises
    ------
    ValueError
        If it is not a 3-D NIfTI image of whole numbers 0…255.
    """
    image, repairs = _opened(path)
    geometry, notes = place_of(image, path.name)
    values = whole(stored_values(image, path))
    if values is None:
        raise ValueError(f"{path.name} is not a label map: it holds values that are not whole numbers 0…255.")
    return LabelMap(values, geometry, scheme, Provenance(source=path.name), notes + _repaired(path, repairs))


def note_in(path: Path) -> str:
    """Return the note of a label map that `write_labels` wrote; empty where there is none.

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    text = bytes(_opened(path)[0].header["descrip"]).rstrip(b"\0").decode("ascii", "replace")
    _, _, note = text.partition(f"{DESCRIPTION}: ")
    return note


def whole(stored: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8] | None:
    """Return values as uint8, or None if they are not whole numbers 0…255."""
    if stored.dtype == np.uint8:
        return stored.astype(np.uint8, copy=False)
    if not (stored.min() >= -WHOLE_TOLERANCE and stored.max() <= 255 + WHOLE_TOLERANCE):  # not a number, too
        return None
    values = np.rint(stored).astype(np.uint8)
    return values if np.abs(values - stored).max() <= WHOLE_TOLERANCE else None


def _repaired(path: Path, repairs: list[str]) -> tuple[str, ...]:
    if not repairs:
        return ()
    return (f"The header of {path.name} is damaged ({'; '.join(repairs)}); check that the scan is what it should be.",)


@contextmanager
def _listening_to_nibabel() -> Iterator[list[str]]:
    """Yield what nibabel puts right in a header, which it would print; not that SPM wants offsets of 16."""
    logger, said = logging.getLogger("nibabel.global"), dict[str, None]()

    def hear(record: logging.LogRecord) -> bool:
        said[record.getMessage()] = None
        return False

    repairs: list[str] = []
    logger.addFilter(hear)
    try:
        yield repairs
    finally:
        logger.removeFilter(hear)
        repairs += [words for words in said if "SPM" not in words]


def _opened(path: Path) -> tuple[nib.Nifti1Image, list[str]]:
    """Return the image, and what nibabel put right in its header."""
    try:
        with path.open("rb"), _listening_to_nibabel() as repairs:
            image = nib.load(path, mmap=False)  # a scan must not change when its file does
    except FileNotFoundError:
        raise ValueError(f"There is no file {path}; check the name.") from None
    except PermissionError:
        raise locked(path) from None
    except UNREADABLE as why:
        raise ValueError(
            f"{path.name} cannot be read as NIfTI: it is damaged or of another format; copy or export it again."
        ) from why
    shape = image.shape
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        remedy = "export one of its images alone" if len(shape) > 3 else "give the whole scan"
        raise ValueError(f"{path.name} has {len(shape)} axes; a chest CT has three: {remedy}.")
    if image.dataobj.dtype.kind not in "iuf":
        raise ValueError(f"{path.name} holds colours or complex numbers, not Hounsfield units or labels.")
    return image, repairs
