"""NIfTI in and out."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from napari_covseg.io.files import NIFTI_SUFFIXES, stem_of, written
from napari_covseg.volume import AIR_HU, LESIONS, ClassScheme, Geometry, LabelMap, Provenance, Volume

DESCRIPTION = "napari_covseg label map"
WHOLE_TOLERANCE = 1e-3
"""Labels stored with a scale factor come back this close to whole numbers."""


def read_volume(path: Path) -> Volume:
    """Return the scan in a NIfTI file, in the file's own voxel order; voxels without a value are air.

    Raises
    ------
    ValueError
        If the file is not a readable 3-D NIfTI image.
    """
    image = _opened(path)
    stored = _voxels(image, path)
    if np.can_cast(stored.dtype, np.int16):
        hu = stored.astype(np.int16, copy=False)
    else:
        hu = stored.astype(np.float32, copy=False)
        hu[np.isnan(hu)] = AIR_HU
    return Volume(hu, Geometry(stored.shape, image.affine), stem_of(path))


def read_labels(path: Path, scheme: ClassScheme = LESIONS) -> LabelMap:
    """Return the label map in a NIfTI file.

    Raises
    ------
    ValueError
        If it is not a 3-D NIfTI image of whole numbers 0…255.
    """
    image = _opened(path)
    stored = _voxels(image, path)
    values = _whole(stored)
    if values is None:
        raise ValueError(f"{path.name} is not a label map: it holds values that are not whole numbers 0…255.")
    return LabelMap(values, Geometry(stored.shape, image.affine), scheme, Provenance(source=path.name))


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
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise ValueError(f"{path.name} is not a name for NIfTI; let it end in .nii.gz.")
    header = _header(labels.geometry)
    header["descrip"] = f"{DESCRIPTION}{note and ': '}{note}".encode("ascii")
    file = nib.Nifti1Image(labels.values, header.get_best_affine(), header).to_bytes()
    with written(path) as draft:
        draft.write_bytes(gzip.compress(file, 6, mtime=0) if path.name.lower().endswith(".gz") else file)
        _check(read_labels(draft, labels.scheme), labels, header, path)
    return path


def note_in(path: Path) -> str:
    """Return the note of a label map that `write_labels` wrote; empty where there is none.

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    text = bytes(_opened(path).header["descrip"]).rstrip(b"\0").decode("ascii", "replace")
    _, _, note = text.partition(f"{DESCRIPTION}: ")
    return note


def _header(geometry: Geometry) -> nib.Nifti1Header:
    """Return a header whose reported affine is the geometry's, bit for bit wherever NIfTI can hold it.

    An sform holds any affine in float32, and so what another sform says. What a qform says (a rotation made
    from a quaternion, in float64) may fall between those numbers: then the same qform stands alone. A sheared
    affine fits no qform: then the qform counts for nothing (code 0).
    """
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape(geometry.shape)
    header.set_data_dtype(np.uint8)
    header.set_xyzt_units("mm")
    header.set_qform(geometry.affine, code=1)
    by_qform = header.get_qform()
    if not Geometry(geometry.shape, by_qform).same_grid(geometry):
        header["qform_code"] = 0
    fits_sform = np.array_equal(geometry.affine, geometry.affine.astype(np.float32))
    if fits_sform or not np.array_equal(geometry.affine, by_qform):
        header.set_sform(geometry.affine, code=1)
    return header


def _check(read: LabelMap, meant: LabelMap, header: nib.Nifti1Header, path: Path) -> None:
    same_voxels = np.array_equal(read.values, meant.values)
    same_affine = np.array_equal(read.geometry.affine, header.get_best_affine())
    if not (same_voxels and same_affine and read.geometry.same_grid(meant.geometry)):
        raise OSError(f"{path.name} was not saved: what was read back differs from what was written.")


def _opened(path: Path) -> nib.Nifti1Image:
    try:
        image = nib.load(path, mmap=False)  # a scan must not change when its file does
    except FileNotFoundError:
        raise ValueError(f"There is no file {path}; check the name.") from None
    except (
        ImageFileError,
        HeaderDataError,
        WrapStructError,
        OSError,
        EOFError,
        ValueError,
        zlib.error,
    ) as why:
        raise ValueError(f"{path.name} cannot be read as NIfTI: it is damaged or of another format.") from why
    if len(image.shape) != 3:
        raise ValueError(f"{path.name} has {len(image.shape)} axes; a chest CT has three.")
    if image.dataobj.dtype.kind not in "iuf":
        raise ValueError(f"{path.name} holds colours or complex numbers, not Hounsfield units or labels.")
    return image


def _voxels(image: nib.Nifti1Image, path: Path) -> npt.NDArray[np.generic]:
    """Return the voxels in Fortran order: as stored, or as float32 where the file scales them."""
    proxy = image.dataobj
    is_scaled = (proxy.slope, proxy.inter) != (1.0, 0.0)  # the header forgets both when it is loaded
    try:
        return np.asarray(proxy, dtype=np.float32) if is_scaled else np.asarray(proxy.get_unscaled())
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{path.name} ends before its last voxel; copy or export it again.") from error


def _whole(stored: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8] | None:
    """Return values as uint8, or None if they are not whole numbers 0…255."""
    if stored.dtype == np.uint8:
        return stored.astype(np.uint8, copy=False)
    if not (stored.min() >= -WHOLE_TOLERANCE and stored.max() <= 255 + WHOLE_TOLERANCE):  # not a number, too
        return None
    values = np.rint(stored).astype(np.uint8)
    return values if np.abs(values - stored).max() <= WHOLE_TOLERANCE else None
