"""Where voxels are in the patient: shape and affine, compared in millimetres.

World coordinates are NIfTI's RAS+ in millimetres: x grows to the patient's Right, y to the Anterior, z to the
Superior. DICOM's LPS is turned into it once, at the door (`io`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]

GRID_TOLERANCE_MM = 1e-3
"""Two grids are the same when their eight corners are this close."""

READING_ORIENTATION = "IPL"
"""As a radiologist reads: slices down the patient, rows to the back, columns to the patient's left."""

_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))

# An axis at exactly 45° is nearest to two patient axes. A hair's turn decides, and decides alike when the
# axes of the same grid are in another order, so that reorienting there and back comes home.
_HAIR = np.array([[1, 1e-6, 2e-6], [-1e-6, 1, 3e-6], [-2e-6, -3e-6, 1]])


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """A grid of voxels in the patient.

    Parameters
    ----------
    shape
        Number of voxels along each of the three axes.
    affine
        4 × 4 matrix from voxel index to RAS+ millimetres, at voxel centres.

    Raises
    ------
    ValueError
        If the shape is not three positive counts, or the affine is not an invertible finite 4 × 4 matrix.
    """

    shape: tuple[int, int, int]
    affine: Affine = field(repr=False)

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"A scan needs three axes with at least one voxel each, not {self.shape}.")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError("The scan's position in space is not a finite 4 × 4 matrix.")
        if not np.allclose(affine[3], (0, 0, 0, 1)) or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError("The scan's position in space is degenerate: two of its axes coincide.")
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each axis."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres, also when the axes are sheared."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def orientation(self) -> str:
        """The direction each axis grows in, as three of ``L R P A I S``; for obliques, the nearest."""
        directions = _HAIR @ self._directions()
        world_axes = max(permutations(range(3)), key=lambda p: np.abs(directions[p, range(3)]).sum())
        return "".join(_LETTERS[w][int(directions[w, a] > 0)] for a, w in enumerate(world_axes))

    @property
    def is_oblique(self) -> bool:
        """Whether an axis leaves its nearest patient axis by more than half a degree."""
        return bool(np.abs(self._directions()).max(axis=0).min() < np.cos(np.radians(0.5)))

    @property
    def tilt_degrees(self) -> float:
        """The largest angle by which two axes are not at right angles, as after a scan with a tilted gantry."""
        directions = self._directions()
        cosines = np.abs(directions.T @ directions - np.eye(3)).max()
        return float(np.degrees(np.arcsin(min(cosines, 1.0))))

    def to_mm(self, index: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Millimetre positions (…, 3) of voxel indices (…, 3), which may be fractional."""
        turned: Affine = np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T
        return turned + self.affine[:3, 3]

    def corners_mm(self) -> npt.NDArray[np.float64]:
        """Return the eight corner voxel centres, (8, 3) in millimetres."""
        return self.to_mm(list(product(*((0, n - 1) for n in self.shape))))

    def same_grid(self, other: Geometry, tolerance_mm: float = GRID_TOLERANCE_MM) -> bool:
        """Whether both grids have the same voxels in the same places."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(self.corners_mm() - other.corners_mm()).max() <= tolerance_mm)

    def rearranged(self, axes: Sequence[int], flips: Sequence[bool]) -> Geometry:
        """Return the geometry of ``array.transpose(axes)`` with the flagged new axes then reversed."""
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        for new_axis, (old_axis, flip) in enumerate(zip(axes, flips, strict=True)):
            matrix[old_axis, new_axis] = -1 if flip else 1
            matrix[old_axis, 3] = self.shape[old_axis] - 1 if flip else 0
        shape = tuple(self.shape[a] for a in axes)
        return Geometry((shape[0], shape[1], shape[2]), self.affine @ matrix)

    def reading(self) -> Geometry:
        """Return the same grid in reading order, `READING_ORIENTATION`."""
        return self.rearranged(*rearrangement(self.orientation, READING_ORIENTATION))

    def cropped(self, start: Sequence[int], stop: Sequence[int]) -> Geometry:
        """Return the geometry of ``array[start:stop]``, where a stop past the end or a start below 0 pads."""
        shifted = self.affine.copy()
        shifted[:3, 3] = self.to_mm(start)
        sizes = [b - a for a, b in zip(start, stop, strict=True)]
        return Geometry((sizes[0], sizes[1], sizes[2]), shifted)

    def resized(self, shape: Sequence[int]) -> Geometry:
        """Return the grid of another shape over the same field of view (outer voxel edges coincide)."""
        factors = np.array(self.shape, dtype=float) / np.array(shape, dtype=float)
        matrix = np.diag([*factors, 1.0])
        matrix[:3, 3] = (factors - 1) / 2
        return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), self.affine @ matrix)

    def _directions(self) -> Affine:
        directions: Affine = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return directions


def rearrangement(orientation: str, target: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Axes and flips that take an array of one orientation to another.

    Raises
    ------
    ValueError
        If either is not a permutation of one letter from each of LR, PA and IS.
    """
    pairs = {letter: pair for pair, letters in enumerate(_LETTERS) for letter in letters}
    for text in (orientation, target):
        if sorted(pairs.get(letter, -1) for letter in text) != [0, 1, 2]:
            raise ValueError(f"{text!r} is not an orientation such as LPS.")
    axes = [next(a for a in range(3) if pairs[orientation[a]] == pairs[letter]) for letter in target]
    flips = [orientation[axis] != letter for axis, letter in zip(axes, target, strict=True)]
    return (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2])
