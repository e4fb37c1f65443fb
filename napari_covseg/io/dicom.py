"""DICOM in: the slices of one CT series become one volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_covseg.io.dicom_doubts import MODIFIED, SPACING_TOLERANCE, UNSPECIFIED, oddities
from napari_covseg.io.dicom_files import AMONG_ALIKE, Found, Series, found_in
from napari_covseg.io.dicom_pixels import Opened, hounsfield, plane_hu
from napari_covseg.io.dicom_place import Slice, geometry_of, in_order, placed, same_place, stacked
from napari_covseg.io.dicom_tags import Frame
from napari_covseg.io.files import stem_of
from napari_covseg.io.hounsfield import MOST_PADDED, STACKED, window_note, windowed
from napari_covseg.io.silence import in_silence
from napari_covseg.io.stated import NOTHING, SeriesSummary, Stated, UnstatedError
from napari_covseg.volume import Volume

HOUNSFIELD = ("", "HU", UNSPECIFIED, MODIFIED)
"""What slices may call their values, after the rescale."""

__all__ = ["SeriesSummary", "describe_series", "read_series"]


def describe_series(path: Path) -> list[SeriesSummary]:
    """Return what each series of images in a folder, a zipped folder or a file is, in the order of file names.

    Raises
    ------
    ValueError
        If it holds no DICOM images.
    """
    with in_silence():
        return [_summary(series) for series in found_in(path).series]


def read_series(path: Path, stated: Stated = NOTHING) -> Volume:
    """Return a CT series in Hounsfield units; the notes tell what was passed over, assumed or repaired.

    Axes are (column, row, slice), as NIfTI has them; slices grow along the normal of the image plane. A
    tilted gantry gives a sheared grid. Padding outside the scanner's field of view is air.

    Raises
    ------
    UnstatedError
        If it takes a word from the reader: which series, or how far the voxels are apart.
    ValueError
        If it is anything but one evenly spaced CT series; one sentence that says what to do.
    """
    name, found = stem_of(path), found_in(path)
    series, notes = _chosen(name, found, stated.series)
    notes += _passed_over(found)
    if series.is_apart:
        notes += (f"The slices of {name} each name a study or place of their own; they were taken for one scan.",)
    if not series.uid:
        notes += (f"The slices of {name} do not say which series they are of; check that they belong together.",)
    frames, more = _without_localizers(series)
    notes += more
    _refuse_foreign(name, series, frames, stated, path)
    if stated.spacing_mm is not None and not any(frame.origin.size for frame in frames):
        slices = stacked(name, frames, stated.spacing_mm)
        notes += _assumed(name, series, stated)
    else:
        slices, more = _each_once(name, in_order(name, [placed(name, frame) for frame in frames]))
        notes += more + oddities(name, slices)
        if stated.spacing_mm is not None:
            notes += (f"{name} says itself where its voxels are; the spacing that was stated was not used.",)
    geometry = geometry_of(name, slices)
    hu, padded, more = hounsfield(name, slices)
    notes += more + _padding(name, padded, hu.size)
    if STACKED in notes and stated.window_hu is not None and all(frame.rescale == (1, 0) for frame in frames):
        white = float(2 ** int(frames[0].stored[3] or 16) - 1)
        hu, notes = windowed(hu, stated.window_hu, white), (*notes, window_note(name, stated.window_hu, white))
    return Volume(hu, geometry, name, notes, series.owner)


def _summary(series: Series) -> SeriesSummary:
    return SeriesSummary(series.uid, series.modality, len(series.frames), series.description)


def _chosen(name: str, found: Found, wanted: str | None) -> tuple[Series, tuple[str, ...]]:
    if wanted is not None:
        named = [each for each in found.series if wanted and each.uid == wanted]
        if not named and wanted.isdecimal() and 1 <= int(wanted) <= len(found.series):
            named = [found.series[int(wanted) - 1]]
        if not wanted.strip():
            raise ValueError(f"No series of {name} is named; choose one of its {len(found.series)} by number or UID.")
        if not named:
            raise ValueError(
                f"{name} holds no series {wanted}; choose one of its {len(found.series)} by number or UID."
            )
        return named[0], ()
    if len(found.series) == 1:
        return found.series[0], ()
    _refuse_all_apart(name, found)
    scans = [each for each in found.series if _could_be_a_scan(each)]
    if len(scans) == 1:
        others = ", ".join(_words(each) for each in found.series if each is not scans[0])
        return scans[0], (f"{name} also holds {others}; the one CT scan among them was opened.",)
    listed = "; ".join(f"{number}: {_words(each)}" for number, each in enumerate(found.series, start=1))
    raise UnstatedError(
        f"{name} holds {len(found.series)} DICOM series ({listed}); choose one.",
        "series",
        series=tuple(_summary(each) for each in found.series),
    )


def _refuse_all_apart(name: str, found: Found) -> None:
    """Refuse a series of which each slice says that it belongs to no other: nothing there can be chosen."""
    is_one = len({each.uid.partition(AMONG_ALIKE)[0] for each in found.series}) == 1
    if is_one and all(len(each.frames) == 1 for each in found.series):
        raise ValueError(f"{name} holds one series whose slices are each of another patient; export the series again.")


def _could_be_a_scan(series: Series) -> bool:
    return series.modality == "CT" and sum(not frame.is_localizer for frame in series.frames) > 1


def _words(series: Series) -> str:
    count = len(series.frames)
    return ", ".join(filter(None, (series.modality, series.description, f"{count} slice{'s' if count > 1 else ''}")))


def _passed_over(found: Found) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if found.passed_over:
        notes += (f"What is no DICOM image was passed over: {_some_of(found.passed_over)}.",)
    if found.hidden:
        hidden = f"Hidden files were passed over, whose names begin with a dot: {_some_of(found.hidden)}"
        notes += (f"{hidden}; rename them if they are slices.",)
    return notes


def _some_of(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _without_localizers(series: Series) -> tuple[tuple[Frame, ...], tuple[str, ...]]:
    frames = tuple(frame for frame in series.frames if not frame.is_localizer)
    left_out = len(series.frames) - len(frames)
    if not frames or not left_out:
        return series.frames, ()
    return frames, (f"{left_out} scout image{'s' if left_out > 1 else ''} among the slices left out.",)


def _refuse_foreign(name: str, series: Series, frames: Sequence[Frame], stated: Stated, path: Path) -> None:
    """Refuse what is no CT in Hounsfield units, unless it has no position either and the reader vouches for it."""
    is_lost = not any(frame.origin.size for frame in frames)
    if is_lost and stated.spacing_mm is None:
        what = "slices" if series.modality == "CT" else f"images of modality {series.modality}"
        raise UnstatedError(
            f"{name} holds {what} without a position; choose the folder of a CT series, or, if they are CT slices, "
            "state how far columns, rows and slices are apart in mm.",
            "spacing",
        )
    if series.modality != "CT" and not is_lost:
        raise ValueError(f"{name} holds images of modality {series.modality}; choose the folder of a CT series.")
    if any(frame.stored[0] != 1 or len(frame.rescale) != 2 or not frame.rescale[0] for frame in frames):
        raise ValueError(f"{name} holds slices without Hounsfield units; export the scanner's own CT series.")
    if any(_has_odd_bits(frame) for frame in frames):
        raise ValueError(
            f"{name} says that its values lie in an unusual part of their bits, so nobody knows what they are; export "
            "the series again."
        )
    if foreign := {frame.rescale_type for frame in frames} - set(HOUNSFIELD):
        raise ValueError(
            f"{name} holds values of another kind than Hounsfield units (rescale type {', '.join(sorted(foreign))}); "
            "choose the scanner's own CT series."
        )
    if path.is_file() and len(series.frames) == 1 and series.frames[0].file.name == path.name:
        raise ValueError(f"{path.name} is one slice of a series; open its folder, {path.resolve().parent.name}.")


def _has_odd_bits(frame: Frame) -> bool:
    """Whether the values do not end at the lowest bit, as all scanners have them, or have more bits than there are."""
    _, _, allocated, stored, high, _ = frame.stored
    return bool(stored and allocated and stored > allocated) or bool(stored and high is not None and high != stored - 1)


def _assumed(name: str, series: Series, stated: Stated) -> tuple[str, ...]:
    notes = [STACKED]
    own_mm, stated_mm = series.frames[0].spacing_mm[::-1], stated.spacing_mm or ()
    if own_mm.size == 2 and not np.allclose(own_mm, stated_mm[:2], rtol=SPACING_TOLERANCE):
        own, used = (" × ".join(f"{mm:.3g}" for mm in each) for each in (own_mm, stated_mm[:2]))
        notes.append(f"{name} says that its pixels are {own} mm; the {used} mm that were stated were used.")
    if series.modality != "CT":
        notes.append(f"{name} claims to be {series.modality}, not CT.")
    return tuple(notes)


def _each_once(name: str, slices: list[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """Leave out slices that are there twice.

    Raises
    ------
    ValueError
        If two different slices are in one place.
    """
    twice: list[Slice] = []
    opened = Opened()
    for one, two in same_place(slices):
        first, second = (plane_hu(name, each.frame, opened)[0] for each in (one, two))
        if not np.array_equal(first, second):
            names = f"{one.frame.name} and {two.frame.name}"
            raise ValueError(f"{name}: {names} are in the same place and differ; keep one slice for each position.")
        twice.append(two)
    if not twice:
        return slices, ()
    left_out = ", ".join(each.frame.name for each in twice[:3]) + (" …" if len(twice) > 3 else "")
    notes = (f"{len(twice)} of the slices of {name} are there twice and were left out once ({left_out}).",)
    return [each for each in slices if not any(each is other for other in twice)], notes


def _padding(name: str, padded: int, voxels: int) -> tuple[str, ...]:
    if padded > MOST_PADDED * voxels:
        raise ValueError(
            f"{name} marks {100 * padded / voxels:.0f} % of its voxels as padding, which leaves too little of a scan; "
            "export the scanner's own CT series."
        )
    return (f"{padded} voxels of {name} are marked as padding; they are air now.",) if padded else ()
