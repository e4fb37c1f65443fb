"""Regions from one place: fill what lies around it, or grow from it as far as Hounsfield units allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from scipy import ndimage

from napari_covseg.review.components import BY_FACES, component, connected
from napari_covseg.review.correction import Box, Correction
from napari_covseg.review.hu_range import HuRange, smoothed_hu
from napari_covseg.review.scene import TITLES, Mask, Place, Scene
from napari_covseg.volume import LESIONS

NOT_ENCLOSED = "That place is not enclosed by lesions and filling it would flood the scan; nothing was filled."


@dataclass(frozen=True, slots=True)
class Growth:
    """How to grow.

    Parameters
    ----------
    value
        The class that is painted.
    hu_range
        Only voxels that lie in it on the lightly smoothed scan are grown into.
    limit_mm
        Farther from the seed than this nothing is grown into: whatever goes on there has leaked.
    in_lungs
        Grow only inside the aerated lungs; effusion lies outside them and is never clipped.
    """

    value: int
    hu_range: HuRange
    limit_mm: float = 30.0
    in_lungs: bool = False


def fill(scene: Scene, place: Place, value: int) -> Correction | None:
    """Give another class to all that hangs together with a place by faces and has its class.

    Background is filled only where lesions enclose it: poured into the open it would flood the scan.

    Parameters
    ----------
    scene
        Its reach decides: one slice, or three dimensions.
    place
        Where the reader points.
    value
        The class to give; 0 erases.

    Raises
    ------
    ValueError
        If the place is outside the scan, or on background that is not enclosed.
    """
    here = int(scene.labels[scene.checked(place)])
    if here == value:
        return None
    box, mask = _around(scene, place, here) if here else _enclosed(scene, place)
    after = scene.labels[box].copy()
    np.copyto(after, np.uint8(value), where=mask)  # half the time of np.where
    return scene.correction(box, after, "fill", f"fill with {TITLES[value]}" if value else "erase a component")


def grow(scene: Scene, seed: Place, growth: Growth) -> Correction | None:
    """Paint all that hangs together with a seed by faces and lies in the range, over background only.

    Parameters
    ----------
    scene
        Its reach decides: one slice, or three dimensions.
    seed
        Where the reader points.
    growth
        Class, range and limit.

    Returns
    -------
    Correction or None
        Where the growth leaked past the limit, its title says what was kept.

    Raises
    ------
    ValueError
        If the seed is outside the range or the lungs or on another class, or nobody has drawn the lungs that bound it.
    """
    _refuse_seed(scene, seed, growth)
    box = scene.box_around(seed, [ceil(growth.limit_mm / mm) + 1 for mm in scene.spacing_mm])
    open_to = _open_to(scene, box, growth)
    near = _ball(scene, seed, growth.limit_mm, box)
    at = tuple(p - span.start for p, span in zip(seed, box, strict=True))
    grown = connected(open_to & near, at, BY_FACES)
    leaked = bool((ndimage.binary_dilation(grown) & open_to & ~near).any())
    after = np.where(grown, np.uint8(growth.value), scene.labels[box])
    ml = np.count_nonzero(grown) * scene.voxel_mm3 / 1000.0
    note = f"; it leaked past {growth.limit_mm:g} mm from the seed and was cut there" if leaked else ""
    return scene.correction(box, after, "grow", f"grow {TITLES[growth.value]} to {ml:.1f} mL", note)


def _around(scene: Scene, place: Place, value: int) -> tuple[Box, Mask]:
    found = component(scene, place, lambda box: scene.labels[box] == value, BY_FACES)
    assert found is not None  # the place itself has the value
    return found


def _enclosed(scene: Scene, place: Place) -> tuple[Box, Mask]:
    """Return the background at a place, sought in the lesions' box and one voxel around it: what gets there is open."""
    limits = scene.box_of(margin_voxels=1)
    if limits is None or not all(span.start <= p < span.stop for span, p in zip(limits, place, strict=True)):
        raise ValueError(NOT_ENCLOSED)
    box, mask = _around(replace(scene, region=limits), place, 0)
    for axis, (span, limit) in enumerate(zip(box, limits, strict=True)):
        if limit.stop - limit.start == 1:
            continue  # one slice: what lies above and below is not looked at
        ends = ((0, span.start == limit.start), (-1, span.stop == limit.stop))
        if any(at_the_edge and mask.take(end, axis=axis).any() for end, at_the_edge in ends):
            raise ValueError(NOT_ENCLOSED)
    return box, mask


def _refuse_seed(scene: Scene, seed: Place, growth: Growth) -> None:
    here = int(scene.labels[scene.checked(seed)])
    if here not in (0, growth.value):
        raise ValueError(f"This place is {TITLES[here]} already; erase or relabel that first, or point beside it.")
    box = scene.box_around(seed, (0, 0, 0))
    hu = float(smoothed_hu(scene.scan, box)[0, 0, 0])
    if not growth.hu_range.low <= hu <= growth.hu_range.high:
        said = f"{hu:.0f}".replace("-", "−")
        raise ValueError(
            f"It is {said} HU where you point, and Grow takes {growth.hu_range}; point inside the lesion or widen the "
            "range."
        )
    if not _open_to(scene, box, growth)[0, 0, 0]:
        raise ValueError("You point outside the lungs; point inside them, or switch “In lungs” off.")


def _open_to(scene: Scene, box: Box, growth: Growth) -> Mask:
    labels = scene.labels[box]
    found: Mask = ((labels == 0) | (labels == growth.value)) & growth.hu_range.holds(smoothed_hu(scene.scan, box))
    if growth.in_lungs and growth.value != LESIONS["effusion"].value:
        found &= scene.lungs_in(box)
    return found


def _ball(scene: Scene, centre: Place, radius_mm: float, box: Box) -> Mask:
    away = [
        ((np.arange(span.start, span.stop) - p) * mm) ** 2
        for span, p, mm in zip(box, centre, scene.spacing_mm, strict=True)
    ]
    i, j, k = np.ix_(*away)
    found: Mask = i + j + k <= radius_mm**2 + 1e-6
    return found
