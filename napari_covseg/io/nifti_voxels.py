"""The voxels of a NIfTI file.

The file is read to its end: only there does a compressed one say whether it is whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.openers import ImageOpener

from napari_covseg.io import slabs
from napari_covseg.io.memory import require_memory

Voxels = npt.NDArray[Any]


def is_scaled(image: nib.Nifti1Image) -> bool:
    """Whether the header says how stored numbers become values."""
    return _scale(image) != slabs.AS_STORED


def hounsfield(image: nib.Nifti1Image, path: Path) -> tuple[Voxels, int]:
    """Return the voxels in Fortran order, int16 or float32, and how many had no number and became air.

    Raises
    ------
    ValueError
        If the file is not whole, does not fit into memory, or has no number where there should be one.
    """
    stored, scale = image.dataobj.dtype, _scale(image)
    _refuse_too_large(image, path, slabs.hounsfield_type(stored, scale))
    return slabs.hounsfield(_slabs(image, path), image.shape[:3], stored, scale, path.name)


def stored_values(image: nib.Nifti1Image, path: Path) -> Voxels:
    """Return the voxels in Fortran order: as stored, or as float32 where the file scales them.

    Raises
    ------
    ValueError
        If the file is not whole or does not fit into memory.
    """
    if is_scaled(image):
        return hounsfield(image, path)[0]
    _refuse_too_large(image, path, image.dataobj.dtype)
    return slabs.as_stored(_slabs(image, path), image.shape[:3], image.dataobj.dtype)


def stated_scale(image: nib.Nifti1Image, path: Path) -> tuple[float, float]:
    """Return the slope and the offset as the file has them: nibabel takes what is no number for 1 and 0.

    Raises
    ------
    ValueError
        If the file is not whole.
    """
    header = type(image.header)
    try:
        with ImageOpener(str(path), "rb") as file:
            raw = header(file.read(header.sizeof_hdr), check=False)
    except (OSError, EOFError, ValueError, nib.spatialimages.HeaderDataError) as error:
        raise slabs.damaged(path) from error
    return float(raw["scl_slope"]), float(raw["scl_inter"])


def _scale(image: nib.Nifti1Image) -> tuple[float, float]:
    return float(image.dataobj.slope), float(image.dataobj.inter)  # the header forgets both when it is loaded


def _slabs(image: nib.Nifti1Image, path: Path) -> Iterator[tuple[int, Voxels]]:
    try:
        with ImageOpener(str(path), "rb") as file:
            file.seek(image.dataobj.offset)
            yield from slabs.slabs(file, image.shape[:3], image.dataobj.dtype, path)
    except (OSError, EOFError) as error:
        raise slabs.damaged(path) from error


def _refuse_too_large(image: nib.Nifti1Image, path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse a file that is larger or smaller than its header says, or whose voxels do not fit into memory."""
    expected = image.dataobj.offset + math.prod(image.shape) * image.dataobj.dtype.itemsize
    size = path.stat().st_size
    if path.name.lower().endswith(".gz"):
        if expected > size * slabs.MOST_DEFLATED:
            raise slabs.damaged(path)
    elif size < expected:
        raise slabs.damaged(path)
    require_memory(path.name, math.prod(image.shape), dtype.itemsize)
