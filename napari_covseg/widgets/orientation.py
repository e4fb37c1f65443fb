"""Which way the patient lies on the screen, told from the grid: the letters at the picture's edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_covseg.volume import Geometry

LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Where each world axis comes from and goes to; world coordinates are RAS+."""

ALSO = 0.3
"""A second letter is told when an axis leans this far that way, as a sine: about 17°."""


@dataclass(frozen=True, slots=True)
class Edges:
    """What is to the left, right, top and bottom of the picture; an oblique edge has two letters or three."""

    left: str
    right: str
    top: str
    bottom: str


def edges(geometry: Geometry, displayed: Sequence[int], camera_axes: tuple[str, str] = ("down", "right")) -> Edges:
    """Return the letters at the edges.

    Parameters
    ----------
    geometry
        The grid that is shown.
    displayed
        Which of its axes runs down and which to the right: napari's two displayed dimensions.
    camera_axes
        Where napari's camera lets the vertical and the horizontal axis grow.
    """
    vertical, horizontal = displayed
    down, right = _towards(geometry, vertical), _towards(geometry, horizontal)
    up, left = _towards(geometry, vertical, -1), _towards(geometry, horizontal, -1)
    if camera_axes[0] == "up":
        down, up = up, down
    if camera_axes[1] == "left":
        right, left = left, right
    return Edges(left, right, up, down)


def patient_position(position_mm: Sequence[float]) -> str:
    """Return a place in the patient in words of its axes: ``R 34  A 12  I 120 mm``."""
    parts = (f"{pair[int(mm > 0)]} {abs(mm):.0f}" for pair, mm in zip(LETTERS, position_mm, strict=True))
    return "  ".join(parts) + " mm"


def _towards(geometry: Geometry, axis: int, sign: int = 1) -> str:
    column = geometry.affine[:3, axis]
    direction = sign * column / np.linalg.norm(column)
    told = [world for world in np.argsort(-np.abs(direction), kind="stable") if abs(direction[world]) > ALSO]
    return "".join(LETTERS[world][int(direction[world] > 0)] for world in told)
