"""NIfTI out: written whole or not at all, read back, and compared before it counts."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from napari_covseg.io import nifti
from napari_covseg.io.files import NIFTI_SUFFIXES, written
from napari_covseg.volume import Geometry, LabelMap, Volume


def write_labels(labels: LabelMap, path: Path, note: str = "") -> Path:
    """Write a label map on its own grid, read it back and compare; return the path.

    Voxels are uint8, and the same map and note give the same bytes at any time and under any name. The note, a few
    words such as which slices the map is of, goes into the header; `note_in` finds it again.

    Raises
    ------
    ValueError
        If the name does not end in .nii or .nii.gz.
    OSError
        If it cannot be written, or what was read back differs.
    """
    header = _header(labels.geometry, np.dtype(np.uint8))
    header["descrip"] = f"{nifti.DESCRIPTION}{note and ': '}{note}".encode("ascii")
    with written(_named(path)) as draft:
        _save(labels.values, header, draft)
        _check(nifti.read_labels(draft, labels.scheme), labels, header, path)
    return path


def write_volume(volume: Volume, path: Path) -> Path:
    """Write a scan on its own grid as int16 or float32, read it back and compare; return the path.

    Raises
    ------
    ValueError
        If the name does not end in .nii or .nii.gz.
    OSError
        If it cannot be written, or what was read back differs.
    """
    header = _header(volume.geometry, volume.hu.dtype)
    with written(_named(path)) as draft:
        _save(volume.hu, header, draft)
        _check(nifti.read_volume(draft), volume, header, path)
    return path


def _named(path: Path) -> Path:
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise ValueError(f"{path.name} is not a name for NIfTI; let it end in .nii.gz.")
    return path


def _save(voxels: npt.NDArray[Any], header: nib.Nifti1Header, draft: Path) -> None:
    file = nib.Nifti1Image(voxels, header.get_best_affine(), header).to_bytes()
    draft.write_bytes(gzip.compress(file, 6, mtime=0) if draft.name.lower().endswith(".gz") else file)


def _header(geometry: Geometry, dtype: np.dtype[Any]) -> nib.Nifti1Header:
    """Return a header whose reported affine is the geometry's, bit for bit wherever NIfTI can hold it.

    An sform holds any affine in float32, and so what another sform says. What a qform says (a rotation made
    from a quaternion, in float64) may fall between those numbers: then the same qform stands alone. A sheared
    affine fits no qform: then the qform counts for nothing (code 0).
    """
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape(geometry.shape)
    header.set_data_dtype(dtype)
    header.set_xyzt_units("mm")
    header.set_qform(geometry.affine, code=1)
    by_qform = header.get_qform()
    if not Geometry(geometry.shape, by_qform).same_grid(geometry):
        header["qform_code"] = 0
    fits_sform = np.array_equal(geometry.affine, geometry.affine.astype(np.float32))
    if fits_sform or not np.array_equal(geometry.affine, by_qform):
        header.set_sform(geometry.affine, code=1)
    return header


def _check(read: LabelMap | Volume, meant: LabelMap | Volume, header: nib.Nifti1Header, path: Path) -> None:
    same_voxels = np.array_equal(read.voxels, meant.voxels)
    same_affine = np.array_equal(read.geometry.affine, header.get_best_affine())
    if not (same_voxels and same_affine and read.geometry.same_grid(meant.geometry)):
        raise OSError(f"{path.name} was not saved: what was read back differs from what was written.")
