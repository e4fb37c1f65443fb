"""Windowing and resizing, as data that can be called.

Every step takes a `Volume` in reading order (slices, rows, columns) and returns another; one that changes the
grid changes the geometry with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.transform import resize_local_mean

from napari_covseg.volume import AIR_HU, Volume, volume_on

Plane = npt.NDArray[np.float32]


class Step(Protocol):
    """A pure function from a volume to a volume, with its settings as fields.

    ``local`` says that a voxel's result depends on its surroundings alone, so that a piece may be prepared by itself.
    """

    local: ClassVar[bool]

    def __call__(self, volume: Volume, /) -> Volume:
        """Return the processed volume; the input stays as it was."""


def prepared(volume: Volume, steps: Sequence[Step]) -> Volume:
    """Return the volume after every step in turn."""
    for step in steps:
        volume = step(volume)
    return volume


@dataclass(frozen=True, slots=True)
class Window:
    """Clip Hounsfield units to ``low_hu … high_hu`` and map them to 0…1 (specs/common.md §1).

    Raises
    ------
    ValueError
        If the window is empty.
    """

    local: ClassVar[bool] = True

    low_hu: float
    high_hu: float

    def __post_init__(self) -> None:
        if not self.low_hu < self.high_hu:
            raise ValueError(f"The window {self.low_hu}…{self.high_hu} HU is empty.")

    def __call__(self, volume: Volume, /) -> Volume:
        """Return grey values 0…1 as float32, (D, H, W)."""
        grey = volume.hu.astype(np.float32)
        grey -= self.low_hu
        grey /= self.high_hu - self.low_hu
        np.clip(grey, 0.0, 1.0, out=grey)
        return replace(volume, hu=grey)


@dataclass(frozen=True, slots=True)
class Square:
    """Pad the shorter in-plane side, centred, so that a later `Resize` keeps the anatomy's proportions."""

    local: ClassVar[bool] = False

    outside: float = AIR_HU

    def __call__(self, volume: Volume, /) -> Volume:
        """Return (D, S, S) with S the longer in-plane side."""
        depth, height, width = volume.geometry.shape
        side = max(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        geometry = volume.geometry.cropped((0, top, left), (depth, top + side, left + side))
        return volume_on(volume, geometry, self.outside)


@dataclass(frozen=True, slots=True)
class Resize:
    """Resize each slice to ``side`` × ``side`` pixels: by area when shrinking, else bilinear (common.md §1).

    Parameters
    ----------
    side
        Rows and columns of the result.
    """

    local: ClassVar[bool] = False

    side: int

    def __call__(self, volume: Volume, /) -> Volume:
        """Return (D, side, side) float32; the geometry keeps the field of view."""
        depth, height, width = volume.geometry.shape
        if (height, width) == (self.side, self.side):
            return replace(volume, hu=volume.hu.astype(np.float32, copy=False))
        geometry = volume.geometry.resized((depth, self.side, self.side))
        slices = np.empty(geometry.shape, dtype=np.float32)
        for index, plane in enumerate(volume.hu):
            slices[index] = _resized(plane.astype(np.float32, copy=False), (self.side, self.side))
        return replace(volume, hu=slices, geometry=geometry)


def _resized(plane: Plane, size: tuple[int, int]) -> Plane:
    if size[0] <= plane.shape[0] and size[1] <= plane.shape[1]:
        return np.asarray(resize_local_mean(plane, size), dtype=np.float32)
    zoom = [new / old for new, old in zip(size, plane.shape, strict=True)]
    return np.asarray(ndimage.zoom(plane, zoom, order=1, mode="nearest", grid_mode=True), dtype=np.float32)
