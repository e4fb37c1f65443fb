"""Pictures of slices with their lesions, for people and papers who do not open napari."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.morphology import disk, erosion
from skimage.transform import resize

from napari_covseg.io.png import write_png
from napari_covseg.preprocess import Window
from napari_covseg.volume import LabelMap, Volume, cropped
from napari_covseg.volume.presets import LUNG

FILL = 0.2
"""Opacity of a lesion's inside."""

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PictureStyle:
    """How slices are drawn.

    Parameters
    ----------
    longest_side
        Pixels along the picture's longer side.
    outline
        Thickness of a lesion's outline in pixels.
    window_hu
        Hounsfield units that are black and white.
    """

    longest_side: int = 768
    outline: int = 2
    window_hu: tuple[float, float] = LUNG.limits_hu


def picture(scan: Volume, labels: LabelMap, index: int, style: PictureStyle | None = None) -> Picture:
    """Return one slice as a radiologist sees it, (H, W, 3): the patient's right on the left, true in millimetres.

    Parameters
    ----------
    scan, labels
        In reading order, on one grid.
    index
        Which slice, from the apex.
    style
        How to draw it.

    Raises
    ------
    ValueError
        If the grids differ, or there is no such slice.
    """
    if not labels.geometry.same_grid(scan.geometry):
        raise ValueError("The label map is not on the scan's grid.")
    style = style or PictureStyle()
    _, height, width = scan.geometry.shape
    slab = cropped(scan, (index, 0, 0), (index + 1, height, width))
    size = _size(scan, style.longest_side)
    grey = resize(Window(*style.window_hu)(slab).hu[0], size, order=1)
    drawn = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    for each in labels.scheme:
        mask = resize((labels.values[index] == each.value).astype(np.float32), size, order=1) > 0.5
        inside = erosion(mask, disk(style.outline))
        colour = np.array([int(each.colour[k : k + 2], 16) for k in (1, 3, 5)], dtype=np.float32) / 255
        drawn[inside] += FILL * (colour - drawn[inside])
        drawn[mask & ~inside] = colour
    return np.rint(drawn * 255).astype(np.uint8)


def write_pictures(
    scan: Volume, labels: LabelMap, slices: Sequence[int], folder: Path, style: PictureStyle | None = None
) -> tuple[Path, ...]:
    """Write pictures of some slices as ``<scan>_slice_<number>.png``, numbered from 1 at the apex; return the files."""
    return tuple(
        write_png(picture(scan, labels, index, style), folder / f"{scan.name}_slice_{index + 1:03d}.png")
        for index in slices
    )


def _size(scan: Volume, longest_side: int) -> tuple[int, int]:
    """Return height and width in pixels that are square in the patient."""
    _, *pixels = scan.geometry.shape
    _, *spacing_mm = scan.geometry.spacing_mm
    extent_mm: Any = np.multiply(pixels, spacing_mm)
    height, width = np.rint(extent_mm / extent_mm.max() * longest_side).astype(int)
    return max(1, int(height)), max(1, int(width))
