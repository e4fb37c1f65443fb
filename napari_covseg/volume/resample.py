"""The way from one grid to another and home again.

A step that changes the grid changes the affine with it, so nobody keeps a history of flips: given a label map
and the scan's geometry, `labels_on` brings the labels home. Grids that share a lattice (flipped, transposed,
cropped or padded copies of each other) are mapped without interpolation, voxel for voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.volume.geometry import GRID_TOLERANCE_MM, READING_ORIENTATION, Geometry, rearrangement
from napari_covseg.volume.labels import LabelMap
from napari_covseg.volume.scan import Volume

AIR_HU = -1024.0

Image = TypeVar("Image", Volume, LabelMap)


def reoriented(image: Image, orientation: str = READING_ORIENTATION) -> Image:
    """Return the image with its axes in another order and direction, as a view on the same memory.

    Parameters
    ----------
    image
        Scan or label map.
    orientation
        Three letters such as ``IPL``; an oblique image keeps its obliqueness.
    """
    axes, flips = rearrangement(image.geometry.orientation, orientation)
    turned = image.voxels.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return image.with_voxels(turned, image.geometry.rearranged(axes, flips))


def cropped(image: Image, start: Sequence[int], stop: Sequence[int]) -> Image:
    """Return the box ``start … stop`` of an image as a view, with the affine that belongs to it.

    Raises
    ------
    ValueError
        If the box reaches outside the image or is empty.
    """
    inside = all(0 <= a < b <= n for a, b, n in zip(start, stop, image.geometry.shape, strict=True))
    if not inside:
        raise ValueError(f"The box {tuple(start)}–{tuple(stop)} is not inside {image.geometry.shape}.")
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    return image.with_voxels(image.voxels[box], image.geometry.cropped(start, stop))


def volume_on(volume: Volume, geometry: Geometry, outside_hu: float = AIR_HU) -> Volume:
    """Return the scan sampled on another grid: exactly on a shared lattice, else trilinearly (float32).

    The field of view ends at the outer edges of the outer voxels; beyond it is `outside_hu`.
    """
    hu = _sampled(volume.hu, volume.geometry, geometry, order=1, outside=outside_hu)
    return volume.with_voxels(hu, geometry)


def labels_on(labels: LabelMap, geometry: Geometry) -> LabelMap:
    """Return the labels on another grid: exactly on a shared lattice, else by nearest neighbour.

    What lies outside the label map is background.
    """
    values = _sampled(labels.values, labels.geometry, geometry, order=0, outside=0)
    return labels.with_voxels(values, geometry)


def _sampled(
    voxels: npt.NDArray[Any], source: Geometry, target: Geometry, order: int, outside: float
) -> npt.NDArray[Any]:
    if source.same_grid(target):
        return voxels
    to_source = np.linalg.inv(source.affine) @ target.affine
    lattice = _shared_lattice(source, target)
    if lattice is not None:
        return _copied(voxels, lattice, target.shape, outside)
    place = {"matrix": to_source[:3, :3], "offset": to_source[:3, 3], "output_shape": target.shape}
    sampled: npt.NDArray[Any]
    if order == 0:
        sampled = ndimage.affine_transform(voxels, order=0, mode="grid-constant", cval=outside, **place)
        return sampled
    inputs = voxels.astype(np.float32, copy=False)
    sampled = ndimage.affine_transform(inputs, order=1, mode="nearest", **place)
    beyond = ndimage.affine_transform(np.zeros(source.shape, np.uint8), order=0, mode="grid-constant", cval=1, **place)
    sampled[beyond.view(np.bool_)] = outside
    return sampled


def _shared_lattice(source: Geometry, target: Geometry) -> npt.NDArray[np.intp] | None:
    """Return the signed permutation and offset from target to source indices, where there is one."""
    to_source = (np.linalg.inv(source.affine) @ target.affine)[:3]
    lattice = np.rint(to_source)
    turns = np.abs(lattice[:, :3])
    if not ((turns.sum(axis=0) == 1).all() and (turns.sum(axis=1) == 1).all()):
        return None
    corners = np.array(np.meshgrid(*((0, n - 1) for n in target.shape), indexing="ij")).reshape(3, -1).T
    in_source = corners @ lattice[:, :3].T + lattice[:, 3]
    error_mm = np.abs(source.to_mm(in_source) - target.to_mm(corners)).max()
    return lattice.astype(np.intp) if error_mm <= GRID_TOLERANCE_MM else None


def _copied(
    voxels: npt.NDArray[Any], lattice: npt.NDArray[np.intp], shape: tuple[int, int, int], outside: float
) -> npt.NDArray[Any]:
    """Copy voxels onto a grid of the same lattice; each source axis runs along one target axis."""
    copy = np.full(shape, outside, dtype=voxels.dtype)
    axes = [int(np.flatnonzero(lattice[:, target_axis])[0]) for target_axis in range(3)]
    from_box, to_box = [slice(0)] * 3, [slice(0)] * 3
    for target_axis, source_axis in enumerate(axes):
        index = lattice[source_axis, target_axis] * np.arange(shape[target_axis]) + lattice[source_axis, 3]
        valid = np.flatnonzero((index >= 0) & (index < voxels.shape[source_axis]))
        if valid.size == 0:
            return copy
        to_box[target_axis] = slice(int(valid[0]), int(valid[-1]) + 1)
        from_box[target_axis] = _run(int(index[valid[0]]), int(index[valid[-1]]))
    copy[tuple(to_box)] = voxels.transpose(axes)[tuple(from_box)]
    return copy


def _run(first: int, last: int) -> slice:
    """Return the slice from first to last, both included, in whichever direction."""
    if last >= first:
        return slice(first, last + 1)
    return slice(first, last - 1 if last else None, -1)
