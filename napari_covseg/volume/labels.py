"""What voxels are called: classes by name, label maps with the story of their making."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.volume.geometry import Geometry


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class: the value its voxels carry, its name in files and code, its title and colour on screen."""

    value: int
    name: str
    title: str
    colour: str


@dataclass(frozen=True, slots=True)
class ClassScheme:
    """Classes in order, found by name; value 0 is background and belongs to no class.

    Raises
    ------
    ValueError
        If two classes share a value or a name, or a value is not in 1…255.
    """

    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        values = [c.value for c in self.classes]
        if len(set(values)) != len(values) or len(set(self.names)) != len(values):
            raise ValueError("Two classes of one scheme share a value or a name.")
        if any(not 1 <= value <= 255 for value in values):
            raise ValueError("A class value must be between 1 and 255; 0 is background.")

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(c.name for c in self.classes)

    def __iter__(self) -> Iterator[LabelClass]:
        return iter(self.classes)

    def __getitem__(self, name: str) -> LabelClass:
        for label_class in self.classes:
            if label_class.name == name:
                return label_class
        raise KeyError(f"There is no class {name!r} among {', '.join(self.names)}.")

    def of(self, *names: str) -> ClassScheme:
        """Return the scheme of only these classes, in this order.

        Raises
        ------
        KeyError
            If a name is not in the scheme.
        """
        return ClassScheme(tuple(self[name] for name in names))


LESIONS = ClassScheme(
    (
        LabelClass(1, "ggo", "Ground-glass opacity", "#35b779"),
        LabelClass(2, "consolidation", "Consolidation", "#fde725"),
        LabelClass(3, "effusion", "Pleural effusion", "#1d4ed8"),
        LabelClass(4, "infection", "Opacity, type unspecified", "#d946ef"),
    )
)
"""The values every label map of this project carries, whatever the order of a network's outputs."""

SHORT_TITLES = {
    "lesion": "opacities",
    "ggo": "ground-glass",
    "consolidation": "consolidation",
    "effusion": "effusion",
    "infection": "unspecified",
}
"""What the classes, and all of them together, are called where room is short."""

LUNGS = ClassScheme((LabelClass(1, "lung", "Lung", "#22d3ee"),))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who or what made a label map."""

    source: str = "unknown"
    network: str = ""
    checkpoint: str = ""
    checkpoint_sha256: str = ""
    reader: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """Class values on a grid.

    Parameters
    ----------
    values
        (I, J, K) uint8 array; 0 is background.
    geometry
        Where the voxels are.
    scheme
        What the values mean.
    provenance
        How it came about.
    notes
        A sentence for everything that was doubtful, assumed or repaired when it was read.

    Raises
    ------
    ValueError
        If shapes differ, or the values are not uint8.
    """

    values: npt.NDArray[np.uint8]
    geometry: Geometry
    scheme: ClassScheme = LESIONS
    provenance: Provenance = field(default_factory=Provenance)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape != self.geometry.shape:
            raise ValueError(f"The labels are {self.values.shape} and their grid is {self.geometry.shape}.")
        if self.values.dtype != np.uint8:
            raise ValueError(f"Labels are uint8, not {self.values.dtype}.")

    def where(self, name: str) -> npt.NDArray[np.bool_]:
        """Return the mask of one class, by name."""
        mask: npt.NDArray[np.bool_] = self.values == self.scheme[name].value
        return mask

    @property
    def voxels(self) -> npt.NDArray[np.uint8]:
        """The values."""
        return self.values

    def with_voxels(self, voxels: npt.NDArray[Any], geometry: Geometry) -> LabelMap:
        """Return the same kind of map with other values on another grid."""
        return replace(self, values=voxels, geometry=geometry)

    def noted(self, *sentences: str) -> LabelMap:
        """Return the same map with more notes."""
        return replace(self, notes=(*self.notes, *sentences)) if sentences else self
