"""NRRD and MetaImage in: SimpleITK reads what they say of themselves, and `itk_voxels` their voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

from napari_covseg.io import slabs
from napari_covseg.io.files import ITK_SUFFIXES, name_for_itk, stem_of
from napari_covseg.io.itk_digits import doubt_about_digits
from napari_covseg.io.itk_header import SIZES, Header, header_of, numbers
from napari_covseg.io.itk_place import place_of, said_in
from napari_covseg.io.itk_voxels import VoxelFiles, stored_slabs, voxel_files
from napari_covseg.io.memory import require_memory
from napari_covseg.io.nifti import whole
from napari_covseg.io.silence import heard
from napari_covseg.io.stated import NOTHING, Stated
from napari_covseg.volume import LESIONS, ClassScheme, Geometry, LabelMap, Provenance, Volume

CT_MODALITIES = ("", "MET_MOD_CT", "MET_MOD_OTHER", "MET_MOD_UNKNOWN")
MISREAD = (RuntimeError, OSError)
"""What ITK raises, and what reading the header beside it does, where it makes no sense."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file whose header has been read: its grid, how its values are stored, and what is doubtful about it."""

    path: Path
    place: VoxelFiles
    geometry: Geometry
    dtype: np.dtype[Any]
    scale: tuple[float, float]
    notes: tuple[str, ...]


def read_volume(path: Path, stated: Stated = NOTHING) -> Volume:
    """Return the scan in an NRRD or MetaImage file, in the file's own voxel order.

    Raises
    ------
    UnstatedError
        If it does not say how far its voxels are apart.
    ValueError
        If the file is not a whole, readable 3-D image that fits into memory.
    """
    opened = _opened(path, stated)
    shape = opened.geometry.shape
    _require_memory(opened, slabs.hounsfield_type(opened.dtype, opened.scale))
    hu, missing = slabs.hounsfield(_slabs(opened), shape, opened.dtype, opened.scale, path.name)
    notes = opened.notes
    if opened.scale != slabs.AS_STORED:
        slope, offset = opened.scale
        notes += (f"{path.name} stores its values scaled by {slope:g} and moved by {offset:g}, as its header says.",)
    if missing:
        notes += (f"{path.name} has {missing} voxels without a number outside the field of view; they are air now.",)
    return Volume(hu, opened.geometry, stem_of(path), notes)


def read_labels(path: Path, scheme: ClassScheme = LESIONS) -> LabelMap:
    """Return the label map in an NRRD or MetaImage file.

    Raises
    ------
    ValueError
        If it is not a whole 3-D image of whole numbers 0…255.
    """
    opened = _opened(path, None)
    _require_memory(opened, opened.dtype)
    values = whole(slabs.as_stored(_slabs(opened), opened.geometry.shape, opened.dtype))
    if values is None or opened.scale != slabs.AS_STORED:
        raise ValueError(f"{path.name} is not a label map: it holds values that are not whole numbers 0…255.")
    return LabelMap(values, opened.geometry, scheme, Provenance(source=path.name), opened.notes)


def _opened(path: Path, stated: Stated | None) -> _Opened:
    reader = sitk.ImageFileReader()
    reader.SetFileName(name_for_itk(path))
    try:
        header = header_of(path)
        _refuse_no_voxels(header, path.name)
        place = voxel_files(path, header)
        with heard():
            reader.ReadImageInformation()
        _refuse_other_kinds(reader, header, path.name)
        geometry, notes = place_of(reader, said_in(header, path.name), path.name, stated)
        notes += doubt_about_digits(header, path.name)
        dtype = sitk.GetArrayViewFromImage(sitk.Image([1, 1, 1], reader.GetPixelID())).dtype
        return _Opened(path, place, geometry, dtype, _scale(header), notes)
    except MISREAD as error:
        raise _unreadable(path, error) from error


def _refuse_no_voxels(header: Header, name: str) -> None:
    """Refuse sizes of which ITK would make others."""
    shape = numbers(header.first(*SIZES), 3)
    if shape and any(n < 1 or n % 1 for n in shape):
        said = " × ".join(f"{n:g}" for n in shape)
        raise ValueError(f"{name} says that it has {said} voxels, which no scan has; copy or export it again.")


def _refuse_other_kinds(reader: Any, header: Header, name: str) -> None:
    if reader.GetDimension() != 3:
        raise ValueError(
            f"{name} has {reader.GetDimension()} axes; a chest CT has three: export one of its images alone."
        )
    if reader.GetNumberOfComponents() != 1:
        raise ValueError(f"{name} holds colours or several values per voxel, not Hounsfield units or labels.")
    if "oldmin" in header.fields or "oldmax" in header.fields:
        raise ValueError(f"{name} holds values squeezed into fewer bits (old min, old max); save it with all its bits.")
    if (modality := header.fields.get("Modality", "")) not in CT_MODALITIES:
        raise ValueError(f"{name} says that it is no CT ({modality}); choose the file of a CT scan.")


def _scale(header: Header) -> tuple[float, float]:
    """Return by what stored values are multiplied, and what is added: ITK knows the fields and leaves it at that."""
    slope, offset = (header.fields.get(f"ElementToIntensityFunction{name}", "") for name in ("Slope", "Offset"))
    scale = (*(numbers(slope, 1) if slope else (1.0,)), *(numbers(offset, 1) if offset else (0.0,)))
    if len(scale) != 2 or scale[0] == 0:
        raise RuntimeError("a scale that is none")
    return scale[0], scale[1]


def _require_memory(opened: _Opened, dtype: np.dtype[Any]) -> None:
    """Refuse an image that does not fit, or a file that is too short to hold it."""
    voxels = math.prod(opened.geometry.shape)
    if (short := opened.place.too_short(voxels * opened.dtype.itemsize)) is not None:
        raise slabs.damaged(short)
    require_memory(opened.path.name, voxels, dtype.itemsize)


def _slabs(opened: _Opened) -> slabs.Slabs:
    return stored_slabs(opened.place, opened.geometry.shape, opened.dtype)


def _unreadable(path: Path, error: Exception) -> Exception:
    if isinstance(error, PermissionError):
        return error
    kind = ITK_SUFFIXES[path.suffix.lower()]
    return ValueError(f"{path.name} cannot be read as {kind}: it is damaged; copy or export it again.")
