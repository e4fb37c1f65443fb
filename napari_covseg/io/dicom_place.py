"""Where the slices of a DICOM series are: each in a known place, all alike, evenly spaced, none missing or twice.

DICOM's LPS millimetres are turned into RAS+ here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from napari_covseg.io.dicom_tags import Frame, Vector
from napari_covseg.volume import Geometry

STEP_TOLERANCE_MM = 0.05
STEP_TOLERANCE = 0.01
"""Slices are evenly spaced when each step is this close to the median one, in mm or as a share of it."""

AXIAL = np.array([1.0, 0, 0, 0, 1, 0])


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A frame in its place: LPS mm of its first pixel's centre, and the steps to the next column and row."""

    frame: Frame
    origin: Vector
    column_step: Vector
    row_step: Vector

    @property
    def normal(self) -> Vector:
        """The unit vector across the slice."""
        normal: Vector = np.cross(self.column_step, self.row_step)
        return normal / float(np.linalg.norm(normal))


def placed(name: str, frame: Frame) -> Slice:
    """Return where a frame is.

    Raises
    ------
    ValueError
        If it does not say so.
    """
    axes, spacing_mm = frame.axes, frame.spacing_mm
    if (frame.origin.size, spacing_mm.size) != (3, 2) or not _is_plane(axes) or spacing_mm.min() <= 0:
        raise ValueError(
            f"{name} holds slices without a position, direction or pixel spacing to go by ({frame.name}); "
            "export the CT series with them."
        )
    return Slice(frame, frame.origin, axes[:3] * spacing_mm[1], axes[3:] * spacing_mm[0])


def stacked(name: str, frames: Sequence[Frame], spacing_mm: tuple[float, float, float]) -> list[Slice]:
    """Return frames that do not say where they are, by their numbers from the apex down, as far apart as stated.

    Raises
    ------
    ValueError
        If they are not of one kind, or their numbers leave a hole or are there twice.
    """
    frames = _by_number(name, frames)
    axes = frames[0].axes if _is_plane(frames[0].axes) else AXIAL
    column, row, between = spacing_mm
    slices = [Slice(frame, np.zeros(3), axes[:3] * column, axes[3:] * row) for frame in frames]
    is_upward = slices[0].normal[2] > 0
    step = slices[0].normal * between
    _refuse_unlike(name, slices)
    return [replace(each, origin=step * k) for k, each in enumerate(reversed(slices) if is_upward else slices)]


def _by_number(name: str, frames: Sequence[Frame]) -> Sequence[Frame]:
    """Return frames in the order of their numbers; where none has one, in that of their files."""
    numbers = [frame.number for frame in frames if frame.number is not None]
    if not numbers:
        return frames
    ordered = sorted(numbers)
    steps = {two - one for one, two in pairwise(ordered)}
    if len(numbers) < len(frames) or 0 in steps:
        raise ValueError(
            f"{name} holds slices without a number or with the same one, so nothing tells their order; export the CT "
            "series with positions."
        )
    if len(steps) > 1:
        at = next(one for one, two in pairwise(ordered) if two - one > min(steps))
        raise ValueError(f"{name} lacks slices after number {at}; export the series again with all its slices.")
    return sorted(frames, key=lambda frame: frame.number or 0)


def in_order(name: str, slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices along their normal.

    Raises
    ------
    ValueError
        If they are not of one kind.
    """
    _refuse_unlike(name, slices)
    normal = slices[0].normal
    return sorted(slices, key=lambda each: float(each.origin @ normal))


def same_place(slices: Sequence[Slice]) -> list[tuple[Slice, Slice]]:
    """Return the pairs of neighbours that lie in the same place, of slices in order."""
    normal = slices[0].normal
    return [(one, two) for one, two in pairwise(slices) if (two.origin - one.origin) @ normal <= STEP_TOLERANCE_MM]


def geometry_of(name: str, slices: Sequence[Slice]) -> Geometry:
    """Return the grid of slices in order, axes (column, row, slice).

    Raises
    ------
    ValueError
        If they are not evenly spaced.
    """
    first = slices[0]
    affine = np.eye(4)
    affine[:3] = np.column_stack((first.column_step, first.row_step, _slice_step(name, slices), first.origin))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine + 0.0  # LPS to RAS+; minus zero becomes zero
    return Geometry((*first.frame.size, len(slices)), affine)


def _is_plane(axes: Vector) -> bool:
    if axes.size != 6:
        return False
    row, column = axes[:3], axes[3:]
    return bool(np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-3))


def _refuse_unlike(name: str, slices: Sequence[Slice]) -> None:
    first = slices[0]
    for other in slices:
        turned = np.abs([other.column_step - first.column_step, other.row_step - first.row_step]).max()
        unlike = "size, spacing or direction" if other.frame.size != first.frame.size or turned > 1e-4 else ""
        unlike = unlike or ("the way their pixels are stored" if other.frame.stored != first.frame.stored else "")
        if unlike:
            raise ValueError(
                f"{name}: {other.frame.name} and {first.frame.name} differ in {unlike}; keep slices of one kind only."
            )


def _slice_step(name: str, slices: Sequence[Slice]) -> Vector:
    """Return the LPS step from one slice to the next; with a tilted gantry it is not along the normal."""
    if len(slices) == 1:
        if slices[0].frame.thickness_mm <= 0:
            raise ValueError(f"{name} holds one slice of unknown thickness; choose a folder with the whole series.")
        return slices[0].normal * slices[0].frame.thickness_mm
    origins = np.array([each.origin for each in slices])
    steps = np.diff(origins, axis=0)
    step: Vector = (origins[-1] - origins[0]) / (len(slices) - 1)
    uneven_mm = np.linalg.norm(steps - np.median(steps, axis=0), axis=1)
    adrift_mm = np.linalg.norm(origins - origins[0] - np.outer(np.arange(len(slices)), step), axis=1)
    usual_mm = float(np.median(steps @ slices[0].normal))
    if max(uneven_mm.max(), adrift_mm.max()) > max(STEP_TOLERANCE_MM, STEP_TOLERANCE * usual_mm) + 1e-9:
        worst = int(uneven_mm.argmax())
        one, two = slices[worst].frame.name, slices[worst + 1].frame.name
        apart_mm = float(np.linalg.norm(steps[worst]))
        raise ValueError(
            f"{name} is not evenly spaced: {one} and {two} are {apart_mm:.2f} mm apart, others {usual_mm:.2f} mm"
            f"{_missing(apart_mm / usual_mm)}; export the series again with all its slices."
        )
    return step


def _missing(ratio: float) -> str:
    lost = round(ratio) - 1
    if lost < 1 or abs(ratio - round(ratio)) > STEP_TOLERANCE * (lost + 1):
        return ""
    return f" ({lost} slice{'s are' if lost > 1 else ' is'} missing there)"
