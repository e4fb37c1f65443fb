"""What is odd about the slices of a series, though it opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from napari_covseg.io.dicom_place import Slice
from napari_covseg.io.dicom_tags import Frame

SPACING_TOLERANCE = 0.02
"""Two ways of saying how far slices are apart disagree when they differ by more than this share."""

GAP, OVERLAP = 3.0, 0.19
"""Slices this many times further apart than they are thick leave gaps; closer than this, one of both is wrong."""

DIAMETER_TOLERANCE = 1.5
"""Reconstructions are cropped, but not by more; a digit or a comma lost in the pixel's size is."""

UNSPECIFIED, MODIFIED = "US", "HU_MOD"
"""Kinds of values that may be Hounsfield units; `dicom` refuses all but these and HU itself."""


def oddities(name: str, slices: Sequence[Slice]) -> tuple[str, ...]:
    """Return a sentence for everything odd about slices in order."""
    return (*_about_kinds(name, slices), *_about_lengths(name, slices))


def _about_kinds(name: str, slices: Sequence[Slice]) -> Iterator[str]:
    frames = [each.frame for each in slices]
    if len({frame.rescale for frame in frames}) > 1:
        yield f"The slices of {name} do not all have the same rescale to Hounsfield units; each has its own."
    if len({frame.padding for frame in frames}) > 1:
        yield f"The slices of {name} do not all mark the outside of the field of view alike; each as it says."
    stated = max(frame.of_acquisition for frame in frames)
    if stated > len(frames):
        yield f"{name} says that its acquisition has {stated} images, and {len(frames)} are here."
    yield from _about_numbers(name, frames)
    kinds = {frame.rescale_type for frame in frames}
    if UNSPECIFIED in kinds:
        yield f"{name} does not say what its values are (rescale type US); they were taken for Hounsfield units."
    if MODIFIED in kinds:
        yield f"{name} holds Hounsfield units that were computed (rescale type HU_MOD), not measured."
    if any(frame.is_lossy for frame in frames):
        yield f"{name} was compressed with loss; fine detail is not as it was scanned."


def _about_numbers(name: str, frames: Sequence[Frame]) -> Iterator[str]:
    """Yield a sentence where the slices' own numbers say that others are missing, at an end or everywhere."""
    numbers = sorted(frame.number for frame in frames if frame.number is not None)
    if len(numbers) < len(frames) or not numbers:
        return
    if numbers[0] > 1:
        yield f"The slices of {name} are numbered from {numbers[0]} on: those before may be missing."
    if len(numbers) > 1 and (step := min(two - one for one, two in pairwise(numbers))) > 1:
        shown = ", ".join(str(number) for number in numbers[:3])
        yield f"The slices of {name} are numbered {shown} …: of {step} slices only one may be here."
    elif holes := [one for one, two in pairwise(numbers) if two - one > 1]:
        yield f"The numbers of the slices of {name} have a hole after {holes[0]}: slices may be missing."


def _about_lengths(name: str, slices: Sequence[Slice]) -> Iterator[str]:
    first = slices[0]
    frame = first.frame
    field_mm = float(np.linalg.norm(first.column_step)) * frame.size[0]
    if frame.field_mm > 0 and not 1 / DIAMETER_TOLERANCE < field_mm / frame.field_mm < DIAMETER_TOLERANCE:
        yield (
            f"{name} says that {frame.field_mm:.0f} mm were reconstructed, and its pixels make {field_mm:.0f} mm; "
            "check its lengths before you measure."
        )
    if len(slices) == 1:
        return
    apart_mm = float((slices[-1].origin - first.origin) @ first.normal) / (len(slices) - 1)
    if frame.between_mm > 0 and abs(frame.between_mm - apart_mm) > SPACING_TOLERANCE * apart_mm:
        yield (
            f"{name} says that its slices are {frame.between_mm:.3g} mm apart and places them {apart_mm:.3g} mm apart; "
            "the latter was used."
        )
    if frame.thickness_mm <= 0:
        return
    if apart_mm > GAP * frame.thickness_mm:
        yield (
            f"The slices of {name} are {frame.thickness_mm:.3g} mm thick and {apart_mm:.3g} mm apart: what is "
            "between was not scanned, so volumes are estimates."
        )
    elif apart_mm < OVERLAP * frame.thickness_mm:
        yield (
            f"The slices of {name} are {frame.thickness_mm:.3g} mm thick and only {apart_mm:.3g} mm apart; check its "
            "lengths before you measure."
        )
