"""DICOM in: a folder of CT slices becomes one volume.

Only the tags listed here are ever read, so a patient's name, ID or birth date never enters the program.
DICOM's LPS millimetres are turned into RAS+ here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import InvalidDicomError

from napari_covseg.io.files import stem_of
from napari_covseg.volume import AIR_HU, Geometry, Volume

Vector = npt.NDArray[np.float64]

STEP_TOLERANCE_MM = 0.05
STEP_TOLERANCE = 0.01
"""Slices are evenly spaced when each step is this close to the median one, in mm or as a share of it."""

_SERIES_TAGS = ["SeriesInstanceUID", "SeriesDescription", "Modality", "NumberOfFrames"]
_PLACE_TAGS = ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"]
_RESCALE_TAGS = ["RescaleSlope", "RescaleIntercept", "PixelPaddingValue"]
_PIXEL_TAGS = ["Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PixelData"]
_PIXEL_TAGS += ["BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"]
_TAGS = _SERIES_TAGS + _PLACE_TAGS + _RESCALE_TAGS + _PIXEL_TAGS


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """What a folder holds of one DICOM series."""

    uid: str
    modality: str
    slices: int
    description: str


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """Where a slice is, in LPS mm: its first pixel's centre, and the steps to the next column and row."""

    path: Path
    origin: Vector
    column_step: Vector
    row_step: Vector
    thickness_mm: float
    size: tuple[int, int]

    @property
    def normal(self) -> Vector:
        normal = np.cross(self.column_step, self.row_step)
        return normal / np.linalg.norm(normal)


def describe_series(folder: Path) -> list[SeriesSummary]:
    """Return what each series of images in a folder is, in the order of file names.

    Raises
    ------
    ValueError
        If the folder holds no DICOM images.
    """
    summaries = []
    for uid, headers in _series_in(folder).items():
        first = next(iter(headers.values()))
        slices = sum(int(header.get("NumberOfFrames") or 1) for header in headers.values())
        modality, description = first.get("Modality") or "unknown", first.get("SeriesDescription") or ""
        summaries.append(SeriesSummary(uid, str(modality), slices, str(description)))
    return summaries


def read_series(folder: Path) -> Volume:
    """Return the one CT series in a folder, in Hounsfield units.

    Axes are (column, row, slice), as NIfTI has them; slices grow along the normal of the image plane. A
    tilted gantry gives a sheared grid. Padding outside the scanner's field of view is air.

    Raises
    ------
    ValueError
        If the folder holds anything but one evenly spaced CT series; one sentence that says what to do.
    """
    name = stem_of(folder)
    series = _series_in(folder)
    if len(series) > 1:
        raise ValueError(f"{name} holds {len(series)} DICOM series; choose a folder that holds one of them.")
    (headers,) = series.values()
    slices = _in_order(name, [_placed(name, path, header) for path, header in headers.items()])
    first = slices[0]
    affine = np.eye(4)
    affine[:3] = np.column_stack((first.column_step, first.row_step, _slice_step(name, slices), first.origin))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine + 0.0  # LPS to RAS+; minus zero becomes zero
    return Volume(_hounsfield(name, slices), Geometry((*first.size, len(slices)), affine), name)


def _series_in(folder: Path) -> dict[str, dict[Path, pydicom.Dataset]]:
    """Return the headers of all images in a folder, by series and file."""
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}; check the name.")
    series: dict[str, dict[Path, pydicom.Dataset]] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        except InvalidDicomError:
            continue
        except (OSError, EOFError) as error:
            raise ValueError(f"{path.name} cannot be read as DICOM; copy or export it again.") from error
        if header.get("Rows"):
            series.setdefault(str(header.get("SeriesInstanceUID")), {})[path] = header
    if not series:
        raise ValueError(f"{stem_of(folder)} holds no DICOM slices; choose the folder of one CT series.")
    return series


def _placed(name: str, path: Path, header: pydicom.Dataset) -> _Slice:
    """Return where a slice is, or refuse it if it is not a CT slice in a known place."""
    if header.get("Modality") != "CT":
        modality = header.get("Modality") or "unknown"
        raise ValueError(f"{name} holds images of modality {modality}; choose the folder of a CT series.")
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"{name} holds many slices in one file (enhanced CT); export one file per slice.")
    if header.get("SamplesPerPixel") != 1 or None in (
        header.get("RescaleSlope"),
        header.get("RescaleIntercept"),
    ):
        raise ValueError(f"{name} holds slices without Hounsfield units; export the scanner's own CT series.")
    origin, axes, spacing_mm, thickness_mm = (_numbers(header, tag) for tag in _PLACE_TAGS)
    if (origin.size, axes.size, spacing_mm.size) != (3, 6, 2) or not _is_plane(axes) or spacing_mm.min() <= 0:
        raise ValueError(f"{name} holds slices without a position; export the CT series with its positions.")
    steps = axes[:3] * spacing_mm[1], axes[3:] * spacing_mm[0]
    return _Slice(path, origin, *steps, float(thickness_mm.sum()), (int(header.Columns), int(header.Rows)))


def _numbers(header: pydicom.Dataset, tag: str) -> Vector:
    """Return the numbers of a tag; none if it is missing or holds anything else."""
    try:
        numbers = np.atleast_1d(np.asarray(header.get(tag), dtype=np.float64))
    except (TypeError, ValueError):
        return np.empty(0)
    return numbers if np.isfinite(numbers).all() else np.empty(0)


def _is_plane(axes: Vector) -> bool:
    row, column = axes[:3], axes[3:]
    return bool(np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-3))


def _in_order(name: str, slices: list[_Slice]) -> list[_Slice]:
    """Return the slices along their normal, or refuse those that are not alike."""
    first = slices[0]
    for other in slices:
        turned = np.abs([other.column_step - first.column_step, other.row_step - first.row_step]).max()
        if other.size != first.size or turned > 1e-4:
            raise ValueError(
                f"{name}: {other.path.name} and {first.path.name} differ in size, spacing or direction; "
                "keep slices of one kind only."
            )
    return sorted(slices, key=lambda each: float(each.origin @ first.normal))


def _slice_step(name: str, slices: list[_Slice]) -> Vector:
    """Return the LPS step from one slice to the next; with a tilted gantry it is not along the normal."""
    if len(slices) == 1:
        if slices[0].thickness_mm <= 0:
            raise ValueError(f"{name} holds one slice of unknown thickness; choose a folder with the whole series.")
        return slices[0].normal * slices[0].thickness_mm
    origins = np.array([each.origin for each in slices])
    steps = np.diff(origins, axis=0)
    gaps_mm = steps @ slices[0].normal
    if gaps_mm.min() <= STEP_TOLERANCE_MM:
        one, two = _pair(slices, int(gaps_mm.argmin()))
        raise ValueError(f"{name}: {one} and {two} are in the same place; keep one slice for each position.")
    step: Vector = (origins[-1] - origins[0]) / (len(slices) - 1)
    uneven_mm = np.linalg.norm(steps - np.median(steps, axis=0), axis=1)
    adrift_mm = np.linalg.norm(origins - origins[0] - np.outer(np.arange(len(slices)), step), axis=1)
    usual_mm = float(np.median(gaps_mm))
    if max(uneven_mm.max(), adrift_mm.max()) > max(STEP_TOLERANCE_MM, STEP_TOLERANCE * usual_mm) + 1e-9:
        worst = int(uneven_mm.argmax())
        one, two = _pair(slices, worst)
        raise ValueError(
            f"{name} is not evenly spaced: {one} and {two} are {np.linalg.norm(steps[worst]):.2f} mm apart, "
            f"others {usual_mm:.2f} mm; export the series again with all its slices."
        )
    return step


def _pair(slices: list[_Slice], index: int) -> tuple[str, str]:
    return slices[index].path.name, slices[index + 1].path.name


def _hounsfield(name: str, slices: list[_Slice]) -> npt.NDArray[np.generic]:
    """Return (column, row, slice) Hounsfield units: int16, or float32 if they are not whole or too large."""
    hu: npt.NDArray[np.generic] = np.empty((len(slices), *slices[0].size[::-1]), dtype=np.int16)
    for index, each in enumerate(slices):
        plane = _plane_hu(name, each.path)
        if hu.dtype == np.int16 and not _is_int16(plane):
            hu = hu.astype(np.float32)
        hu[index] = plane
    return hu.transpose(2, 1, 0)


def _plane_hu(name: str, path: Path) -> Vector:
    image = pydicom.dcmread(path, specific_tags=_TAGS)
    try:
        stored = image.pixel_array
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name}: the pixels of {path.name} cannot be read; export it uncompressed.") from error
    plane: Vector = stored * float(image.RescaleSlope) + float(image.RescaleIntercept)
    if image.get("PixelPaddingValue") is not None:
        plane[stored == np.asarray(image.PixelPaddingValue).astype(stored.dtype)] = AIR_HU
    return plane


def _is_int16(plane: Vector) -> bool:
    limits = np.iinfo(np.int16)
    return bool(plane.min() >= limits.min and plane.max() <= limits.max and np.array_equal(plane, np.rint(plane)))
