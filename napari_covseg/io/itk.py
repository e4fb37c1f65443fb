"""NRRD and MetaImage in, by SimpleITK."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - as its own documentation has it

from napari_covseg.io.files import ITK_SUFFIXES, stem_of
from napari_covseg.io.hounsfield import aired
from napari_covseg.io.itk_whole import data_file, header_of, refuse_unless_whole
from napari_covseg.io.memory import require_memory
from napari_covseg.io.nifti import whole
from napari_covseg.io.nifti_place import UNPLACED
from napari_covseg.volume import LESIONS, ClassScheme, Geometry, LabelMap, Provenance, Volume

Voxels = npt.NDArray[Any]

REQUIRED = {
    "NRRD": ("type", "dimension", "sizes", "encoding"),
    "MetaImage": ("ndims", "dimsize", "elementtype", "elementdatafile"),
}
PLACED_BY = {"NRRD": ("space", "space dimension"), "MetaImage": ("transformmatrix", "rotation", "orientation")}
"""What a header says when it says how the patient lies."""


class _Held:
    """SimpleITK's view of an image's voxels, made to keep the image alive: without, it would be of freed memory."""

    def __init__(self, image: Any) -> None:
        self.image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


def read_volume(path: Path) -> Volume:
    """Return the scan in an NRRD or MetaImage file, in the file's own voxel order.

    Raises
    ------
    ValueError
        If the file is not a whole, readable 3-D image that fits into memory.
    """
    image, geometry = _opened(path)
    voxels, missing = _voxels(image), 0
    dtype = np.dtype(np.int16 if np.can_cast(voxels.dtype, np.int16) else np.float32)
    if dtype != voxels.dtype:
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused as such
            voxels = voxels.astype(dtype)
    if dtype.kind == "f" and any(np.isnan(plane).any() for plane in voxels.transpose(2, 0, 1)):
        voxels = voxels.copy(order="F")
        missing = sum(aired(plane, path.name) for plane in voxels.transpose(2, 0, 1))
    notes = _doubts(path)
    if missing:
        notes += (f"{path.name} has {missing} voxels without a number outside the field of view; they are air now.",)
    return Volume(voxels, geometry, stem_of(path), notes)


def read_labels(path: Path, scheme: ClassScheme = LESIONS) -> LabelMap:
    """Return the label map in an NRRD or MetaImage file.

    Raises
    ------
    ValueError
        If it is not a whole 3-D image of whole numbers 0…255.
    """
    image, geometry = _opened(path)
    values = whole(_voxels(image))
    if values is None:
        raise ValueError(f"{path.name} is not a label map: it holds values that are not whole numbers 0…255.")
    return LabelMap(values, geometry, scheme, Provenance(source=path.name), _doubts(path))


def _opened(path: Path) -> tuple[Any, Geometry]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        header = header_of(path)
        if any(name not in header.fields for name in REQUIRED[ITK_SUFFIXES[path.suffix.lower()]]):
            raise RuntimeError("ITK would print that it cannot parse this")
        data_file(path, header)
        reader.ReadImageInformation()
        _refuse_other_kinds(reader, path.name)
        voxel_bytes = _bytes_per_voxel(reader.GetPixelID())
        require_memory(path.name, math.prod(reader.GetSize()), 2 * voxel_bytes)
        refuse_unless_whole(path, math.prod(reader.GetSize()) * voxel_bytes)
        geometry = _geometry(reader, path.name)
        return reader.Execute(), geometry
    except (RuntimeError, OSError) as error:
        kind = ITK_SUFFIXES[path.suffix.lower()]
        if isinstance(error, PermissionError):
            raise
        raise ValueError(f"{path.name} cannot be read as {kind}: it is damaged; copy or export it again.") from error


def _refuse_other_kinds(reader: Any, name: str) -> None:
    if reader.GetDimension() != 3:
        raise ValueError(
            f"{name} has {reader.GetDimension()} axes; a chest CT has three: export one of its images alone."
        )
    if reader.GetNumberOfComponents() != 1:
        raise ValueError(f"{name} holds colours or several values per voxel, not Hounsfield units or labels.")


def _bytes_per_voxel(pixel: int) -> int:
    return int(sitk.GetArrayViewFromImage(sitk.Image([1, 1, 1], pixel)).dtype.itemsize)


def _geometry(reader: Any, name: str) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
    affine[:3, 3] = reader.GetOrigin()
    try:
        return Geometry(reader.GetSize(), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine + 0.0)  # LPS to RAS+
    except ValueError:
        raise ValueError(f"{name} cannot be placed: two of its axes coincide; convert it again.") from None


def _voxels(image: Any) -> Voxels:
    """Return the voxels in Fortran order, read-only and without a copy."""
    return np.asarray(_Held(image)).transpose(2, 1, 0)


def _doubts(path: Path) -> tuple[str, ...]:
    fields = header_of(path).fields
    if any(name in fields for name in PLACED_BY[ITK_SUFFIXES[path.suffix.lower()]]):
        return ()
    return (UNPLACED.format(path.name),)
