"""A tilted gantry undone: the slices of a sheared grid shifted until they stand above each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.volume.geometry import Geometry
from napari_covseg.volume.resample import AIR_HU
from napari_covseg.volume.scan import Volume


@dataclass(frozen=True, slots=True, eq=False)
class _Shear:
    """How slices slide over each other: in voxels of their plane per slice, along two axes."""

    slice_axis: int
    plane_axes: tuple[int, int]
    per_slice: npt.NDArray[np.float64]
    upright_step: npt.NDArray[np.float64]


def straightened(volume: Volume, outside_hu: float = AIR_HU) -> Volume:
    """Return the scan with its slices above each other, each shifted in its own plane and interpolated linearly.

    Every slice keeps its place in the patient, its pixels their size; planes grow to hold what is shifted, and what
    no slice covers is `outside_hu`. Whole Hounsfield units are rounded to whole ones.
    """
    shear = _shear_of(volume.geometry)
    depth = volume.geometry.shape[shear.slice_axis]
    ends = np.outer((0, depth - 1), shear.per_slice)
    low = np.floor(ends.min(axis=0) + 1e-6).astype(int)
    grown = np.ceil(ends.max(axis=0) - 1e-6).astype(int) - low
    geometry = _upright_grid(volume.geometry, shear, low, grown)
    hu = np.empty(geometry.shape, dtype=volume.hu.dtype, order="F")
    source, target = np.moveaxis(volume.hu, shear.slice_axis, 0), np.moveaxis(hu, shear.slice_axis, 0)
    for index in range(depth):
        offset = low - index * shear.per_slice
        size = target[index].shape
        plane = source[index].astype(np.float32)
        shifted = ndimage.affine_transform(plane, np.eye(2), offset, size, order=1, cval=outside_hu)
        target[index] = np.rint(shifted) if hu.dtype.kind == "i" else shifted
    return volume.with_voxels(hu, geometry)


def _shear_of(geometry: Geometry) -> _Shear:
    """Find the plane of the slices: at right angles, with pixels as square as can be; the third axis stacks it."""
    steps = geometry.affine[:3, :3]
    spacing_mm = np.linalg.norm(steps, axis=0)
    unit = steps / spacing_mm

    def unlikely(pair: tuple[int, int]) -> tuple[float, float, int]:
        one, two = pair
        skew = abs(float(unit[:, one] @ unit[:, two]))
        return round(skew, 3), round(abs(float(np.log(spacing_mm[one] / spacing_mm[two]))), 6), two

    one, two = min(combinations(range(3), 2), key=unlikely)
    (stacked,) = {0, 1, 2} - {one, two}
    plane = steps[:, [one, two]]
    normal = np.cross(unit[:, one], unit[:, two])
    normal /= np.linalg.norm(normal)
    upright = normal * (steps[:, stacked] @ normal)
    per_slice, *_ = np.linalg.lstsq(plane, steps[:, stacked] - upright, rcond=None)
    return _Shear(stacked, (one, two), np.asarray(per_slice, dtype=np.float64), upright)


def _upright_grid(
    geometry: Geometry, shear: _Shear, low: npt.NDArray[np.intp], grown: npt.NDArray[np.intp]
) -> Geometry:
    affine = geometry.affine.copy()
    affine[:3, shear.slice_axis] = shear.upright_step
    affine[:3, 3] += geometry.affine[:3, list(shear.plane_axes)] @ low
    shape = np.array(geometry.shape)
    shape[list(shear.plane_axes)] += grown
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)
