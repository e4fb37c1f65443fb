"""One door for scans and label maps: whatever the format, what is no chest CT stays outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from napari_covseg.io import nifti
from napari_covseg.io.files import ITK_SUFFIXES, locked
from napari_covseg.io.formats import KNOWN, PAIRS, PREAMBLE_LOST, format_of, lacks_preamble
from napari_covseg.io.hounsfield import checked, labels_in
from napari_covseg.io.label_values import known
from napari_covseg.io.lengths import of_a_scan
from napari_covseg.io.silence import in_silence
from napari_covseg.io.stated import NOTHING, Stated, UnstatedError
from napari_covseg.volume import LESIONS, LUNGS, ClassScheme, LabelMap, Provenance, Volume, straightened

GREATEST_TILT_DEGREES = 0.5
"""Axes further than this from a right angle are the work of a tilted gantry."""


def read_volume(path: Path, stated: Stated = NOTHING) -> Volume:
    """Return a scan in Hounsfield units and its own voxel order; its notes tell what was doubtful or repaired.

    Parameters
    ----------
    path
        A NIfTI, NRRD or MetaImage file, a folder of DICOM slices (or a zipped one, or a multi-frame file), or PNG or
        JPEG slices.
    stated
        What the reader states beside.

    Raises
    ------
    UnstatedError
        If the reader must state something first.
    ValueError
        If nothing readable is there, or it is no chest CT; one sentence that names the path and the remedy.
    """
    path = path if path.name not in ("", "..") else path.resolve()  # sentences need a name
    return _accepted(_read(path, stated), path, stated)


def read_either(path: Path) -> Volume | LabelMap:
    """Return the scan at a path, or the label map, where its few whole values say that it is one.

    Raises
    ------
    ValueError
        As `read_volume`.
    """
    volume = _read(path, NOTHING)
    values = labels_in(volume.hu)
    if values is None:
        return _accepted(volume, path, NOTHING)
    scheme = LUNGS if max(values) <= 1 else LESIONS
    return LabelMap(volume.hu.astype("uint8"), volume.geometry, scheme, Provenance(source=path.name), volume.notes)


def read_labels(path: Path, scheme: ClassScheme = LESIONS) -> LabelMap:
    """Return the label map in a NIfTI, NRRD or MetaImage file; its notes tell what was doubtful about it.

    Raises
    ------
    ValueError
        If it is not a 3-D image of whole numbers 0…255, or none of the values that it marks is a class.
    """
    if path.suffix.lower() not in ITK_SUFFIXES:
        return known(nifti.read_labels(path, scheme), path.name)
    if not path.exists():
        raise ValueError(f"There is no file {path}; check the name.")
    from napari_covseg.io import itk

    return known(itk.read_labels(path, scheme), path.name)


def _read(path: Path, stated: Stated) -> Volume:
    try:
        if not path.exists():
            raise ValueError(f"There is no file or folder {path}; check the name.")
        if path.is_file():
            path.open("rb").close()  # libraries call a file damaged that they may not read
        with in_silence():
            return _by_format(path, stated)
    except MemoryError:
        raise ValueError(
            f"{path.name} does not fit into memory; close other programs, or use a larger machine."
        ) from None
    except PermissionError as error:
        raise locked(error.filename) from error
    except FileNotFoundError as error:
        gone = Path(error.filename or path).name
        raise ValueError(
            f"{gone} vanished while it was read; see that its drive is connected and nothing else moves it, then open "
            "it again."
        ) from error


def _by_format(path: Path, stated: Stated) -> Volume:
    """Read with the library that the format needs; each is imported only then, since some take a while."""
    match format_of(path):
        case "NIfTI":
            return nifti.read_volume(path).noted(*_for_no_use(path, stated))
        case "NRRD" | "MetaImage":
            from napari_covseg.io import itk

            return itk.read_volume(path, stated).noted(*_for_no_use(path, replace(stated, spacing_mm=None)))
        case "PNG" | "JPEG":
            from napari_covseg.io.pictures import read_pictures

            return read_pictures(path, stated).noted(*_for_no_use(path, replace(stated, spacing_mm=None)))
        case "DICOM":
            from napari_covseg.io import dicom

            return dicom.read_series(path, stated)
    if path.is_dir():
        if lacks_preamble(path):
            raise ValueError(f"{path.name} {PREAMBLE_LOST}.")
        raise ValueError(
            f"{path.name} holds no DICOM slices and no pictures; choose the folder of one CT series, or a scan file."
        )
    if not path.is_file():
        raise ValueError(f"{path.name} is a pipe or a device and no file; save the scan as a file, and give that.")
    if path.suffix.lower() == ".zip":
        raise ValueError(f"{path.name} holds no DICOM slices; unpack it, and give the scan that is in it.")
    if path.name.lower().endswith(PAIRS):
        raise ValueError(f"{path.name} is half of a pair of files (.hdr and .img); save both as one .nii file.")
    if lacks_preamble(path):
        raise ValueError(f"{path.name} {PREAMBLE_LOST}.")
    raise ValueError(f"{path.name} is none of {KNOWN}; export the scan as one of these.")


def _for_no_use(path: Path, stated: Stated) -> Iterator[str]:
    """Yield a sentence for what the reader stated about a file that says it itself, or has none of it."""
    if stated.series is not None:
        yield f"{path.name} is no DICOM; the series that was chosen does not apply to it."
    if stated.spacing_mm is not None:
        yield f"{path.name} says itself how far its voxels are apart; the spacing that was stated was not used."


def plausible(scan: Volume, path: Path, stated: Stated = NOTHING) -> Volume:
    """Return the scan in Hounsfield units.

    Raises
    ------
    UnstatedError
        If it takes a window.
    ValueError
        If its lengths, its place or its numbers cannot be those of a chest CT.
    """
    scan = of_a_scan(scan, path.name or scan.name)
    return checked(scan, path.name or scan.name, stated)


def _accepted(scan: Volume, path: Path, stated: Stated) -> Volume:
    """Return the scan, or refuse it if its lengths, its numbers or its axes cannot be those of a chest CT."""
    scan = plausible(scan, path, stated)
    tilt = scan.geometry.tilt_degrees
    if tilt <= GREATEST_TILT_DEGREES:
        upright = f"{path.name} was taken with the gantry upright; there was nothing to straighten."
        return scan.noted(upright) if stated.straighten else scan
    if not stated.straighten:
        raise UnstatedError(
            f"{path.name} was taken with the gantry tilted by {tilt:.1f}°: its slices do not stand above each other; "
            "open it straightened, which resamples it.",
            "straighten",
        )
    return straightened(scan).noted(
        f"The gantry was tilted by {tilt:.1f}°: the slices were shifted upright by linear interpolation, and masks "
        "will lie on the new grid."
    )
