"""The voxels of a NIfTI file, slab by slab, so that no more than the scan itself is ever in memory.

The file is read to its end: only there does a compressed one say whether it is whole.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.openers import ImageOpener

from napari_covseg.io.hounsfield import aired
from napari_covseg.io.memory import require_memory

Voxels = npt.NDArray[Any]

SLAB_BYTES = 4_000_000
MOST_DEFLATED = 1032
"""No compressed file unpacks to more than this many times its size."""


def is_scaled(image: nib.Nifti1Image) -> bool:
    """Whether the header says how stored numbers become values."""
    return (image.dataobj.slope, image.dataobj.inter) != (1.0, 0.0)  # the header forgets both when it is loaded


def hounsfield(image: nib.Nifti1Image, path: Path) -> tuple[Voxels, int]:
    """Return the voxels in Fortran order, int16 or float32, and how many had no number and became air.

    Raises
    ------
    ValueError
        If the file is not whole, does not fit into memory, or has no number where there should be one.
    """
    stored = image.dataobj.dtype
    dtype = np.dtype(np.int16 if np.can_cast(stored, np.int16) and not is_scaled(image) else np.float32)
    _refuse_other_size(image, path)
    require_memory(path.name, math.prod(image.shape), dtype.itemsize)
    hu: Voxels = np.empty(image.shape[:3], dtype=dtype, order="F")
    missing = 0
    for start, slab in _slabs(image, path):
        part = hu[..., start : start + slab.shape[2]]
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused as such
            part[...] = slab
        if is_scaled(image):
            part *= np.float32(image.dataobj.slope)
            part += np.float32(image.dataobj.inter)
        if dtype.kind == "f" and np.isnan(part).any():
            missing += sum(aired(plane.T, path.name) for plane in part.transpose(2, 0, 1))
    return hu, missing


def stored_values(image: nib.Nifti1Image, path: Path) -> Voxels:
    """Return the voxels in Fortran order: as stored, or as float32 where the file scales them.

    Raises
    ------
    ValueError
        If the file is not whole or does not fit into memory.
    """
    if is_scaled(image):
        return hounsfield(image, path)[0]
    dtype = image.dataobj.dtype.newbyteorder("=")
    _refuse_other_size(image, path)
    require_memory(path.name, math.prod(image.shape), dtype.itemsize)
    values: Voxels = np.empty(image.shape[:3], dtype=dtype, order="F")
    for start, slab in _slabs(image, path):
        values[..., start : start + slab.shape[2]] = slab
    return values


def _slabs(image: nib.Nifti1Image, path: Path) -> Iterator[tuple[int, Voxels]]:
    proxy, shape = image.dataobj, image.shape[:3]
    plane_bytes = shape[0] * shape[1] * proxy.dtype.itemsize
    planes = max(1, SLAB_BYTES // plane_bytes)
    try:
        with ImageOpener(str(path), "rb") as file:
            file.seek(proxy.offset)
            for start in range(0, shape[2], planes):
                depth = min(planes, shape[2] - start)
                stored = file.read(depth * plane_bytes)
                if len(stored) < depth * plane_bytes:
                    raise _damaged(path)
                yield start, np.frombuffer(stored, dtype=proxy.dtype).reshape((*shape[:2], depth), order="F")
            if file.read(1):
                raise _longer(path)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path) from error


def _refuse_other_size(image: nib.Nifti1Image, path: Path) -> None:
    expected = image.dataobj.offset + math.prod(image.shape) * image.dataobj.dtype.itemsize
    size = path.stat().st_size
    if path.name.lower().endswith(".gz"):
        if expected > size * MOST_DEFLATED:
            raise _damaged(path)
    elif size < expected:
        raise _damaged(path)


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path.name} ends before its last voxel or is damaged; copy or export it again.")


def _longer(path: Path) -> ValueError:
    return ValueError(f"{path.name} goes on after its last voxel: its header is damaged; copy or export it again.")
