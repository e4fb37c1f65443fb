"""Where an NRRD or MetaImage file says its voxels are: ITK takes what is missing there for 1 mm, unturned, at 0.

ITK reads the place; here it is seen whether the header really says so, and in which unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.io.itk_header import Header, numbers
from napari_covseg.io.nifti_place import UNPLACED
from napari_covseg.io.stated import Stated, UnstatedError
from napari_covseg.volume import Geometry

Vector = npt.NDArray[np.float64]

PATIENT_SPACES = ("right-anterior-superior", "left-anterior-superior", "left-posterior-superior", "ras", "las", "lps")
MILLIMETRES_IN = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres", "", "?", "???"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("um", "µm", "micron", "microns", "micrometer", "micrometre"), 0.001),
}
"""Who states no unit means millimetres, as ITK does."""

AGREE = 1e-4
SENDERS = {"R": "L", "L": "R", "A": "P", "P": "A", "I": "S", "S": "I"}
"""MetaImage names an axis by the side it comes from, this program by the side it goes to."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a header says of the place; empty where it says nothing."""

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    is_turned: bool
    unit: str
    letters: str = ""


def said_in(header: Header, name: str) -> Said:
    """Return what a header says of the place.

    Raises
    ------
    ValueError
        If that is no place in a patient.
    RuntimeError
        If it says it in a way that nobody understands.
    """
    return _said_by_nrrd(header, name) if header.kind == "NRRD" else _said_by_metaimage(header)


def place_of(reader: Any, said: Said, name: str, stated: Stated | None) -> tuple[Geometry, tuple[str, ...]]:
    """Return the grid of an image whose header ITK has read, and a sentence for everything doubtful about it.

    Parameters
    ----------
    stated
        What the reader states beside; None if nobody can be asked.

    Raises
    ------
    UnstatedError
        If the header does not say how far the voxels are apart.
    ValueError
        If the place is none.
    RuntimeError
        If ITK read other numbers than the header says.
    """
    _refuse_misread(said, reader)
    spacing_mm, scale, notes = _lengths(said, reader, name, stated)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * spacing_mm
    affine[:3, 3] = np.array(reader.GetOrigin()) * scale
    try:
        geometry = Geometry(reader.GetSize(), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine + 0.0)  # LPS to RAS+
    except ValueError:
        raise ValueError(f"{name} cannot be placed: two of its axes coincide; convert it again.") from None
    if not said.is_turned:
        return geometry, (*notes, UNPLACED.format(name))
    if not said.origin:
        notes += (f"{name} does not say where its first voxel lies; it was put at 0, 0, 0 mm.",)
    letters = "".join(SENDERS.get(letter, "") for letter in said.letters)
    if letters not in ("", geometry.orientation) and not geometry.is_oblique:
        twice = f"says twice and not alike how the patient lies, from {said.letters} and by a matrix"
        notes += (f"{name} {twice}; the matrix was used: check left and right.",)
    return geometry, notes


def _lengths(said: Said, reader: Any, name: str, stated: Stated | None) -> tuple[Vector, float, tuple[str, ...]]:
    """Return the spacing in mm, how many mm the header's unit is, and what there is to say of both."""
    scale = MILLIMETRES_IN.get(said.unit)
    if scale is None:
        raise ValueError(f"{name} gives its lengths in {said.unit!r}; convert it again with lengths in mm.")
    wanted_mm = stated.spacing_mm if stated is not None else None
    if not said.spacing:
        if stated is None:
            raise ValueError(f"{name} does not say how far its voxels are apart; save it again with its spacing.")
        if wanted_mm is None:
            raise UnstatedError(
                f"{name} does not say how far its voxels are apart; state it in mm, for columns, rows and slices.",
                "spacing",
            )
        shown = " × ".join(f"{mm:g}" for mm in wanted_mm)
        return (
            np.array(wanted_mm),
            scale,
            (f"{name} does not say how far its voxels are apart; {shown} mm were stated.",),
        )
    notes: tuple[str, ...] = ()
    if scale != 1:
        notes = (f"{name} gives its lengths in {said.unit}; they were converted to mm.",)
    if wanted_mm is not None:
        notes += (f"{name} says itself how far its voxels are apart; the spacing that was stated was not used.",)
    return np.array(reader.GetSpacing()) * scale, scale, notes


def _said_by_nrrd(header: Header, name: str) -> Said:
    fields = header.fields
    space = fields.get("space", "").lower()
    if "spacedimension" in fields or space not in ("", *PATIENT_SPACES):
        called = space or f"{fields['spacedimension']} unnamed directions"
        raise ValueError(
            f"{name} says where it is in a space ({called}) that is not the patient's, so that nobody knows left from "
            "right; save it again in LPS or RAS."
        )
    unit = _unit(name, header.first("spaceunits", "units"))
    origin = numbers(fields.get("spaceorigin", ""), 3)
    if not space:
        return Said(_positive(fields.get("spacings", "")), (), False, unit)
    text = fields.get("spacedirections", "none")
    directions = numbers(text, 9)
    if not directions:
        if "none" not in text:
            raise RuntimeError("directions that are no numbers")
        return Said((), origin, False, unit)
    spacing = tuple(float(length) for length in np.linalg.norm(np.reshape(directions, (3, 3)), axis=1))
    return Said(spacing, origin, True, unit)


def _said_by_metaimage(header: Header) -> Said:
    spacing, origin = header.first("ElementSpacing", "ElementSize"), header.first("Offset", "Position", "Origin")
    matrix = header.first("TransformMatrix", "Rotation", "Orientation")
    turns = numbers(matrix, 9)
    spacing_mm = _positive(spacing)
    if spacing and not spacing_mm:
        raise RuntimeError("lengths that are none")
    if turns and not np.allclose(np.linalg.norm(np.reshape(turns, (3, 3)), axis=1), 1, atol=1e-3):
        raise RuntimeError("directions that are none")
    unit, letters = header.fields.get("DistanceUnits", ""), header.fields.get("AnatomicalOrientation", "")
    return Said(spacing_mm, numbers(origin, 3), bool(turns), unit.lower(), letters.upper())


def _refuse_misread(said: Said, reader: Any) -> None:
    """Refuse a header of whose numbers ITK makes others than they are."""
    for mine, itk in ((said.spacing, reader.GetSpacing()), (said.origin, reader.GetOrigin())):
        if mine and not np.allclose(np.abs(mine), np.abs(itk), rtol=AGREE, atol=AGREE):
            raise RuntimeError("ITK reads other numbers there")


def _positive(text: str) -> tuple[float, ...]:
    found = numbers(text, 3)
    return found if found and min(found) > 0 else ()


def _unit(name: str, text: str) -> str:
    """Return the one unit that a field of NRRD gives for all axes."""
    units = {unit.strip().lower() for unit in text.replace('"', " ").split()}
    if len(units) > 1:
        raise ValueError(f"{name} gives its lengths in different units; convert it again with lengths in mm.")
    return units.pop() if units else ""
