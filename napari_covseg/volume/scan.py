"""A scan: Hounsfield units that know where they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.volume.copies import fingerprints
from napari_covseg.volume.geometry import Geometry

Voxels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Volume:
    """Hounsfield units on a grid.

    Parameters
    ----------
    hu
        (I, J, K) array, int16 or float32. It is not copied and never written to.
    geometry
        Where the voxels are.
    name
        What to call the scan on screen and in file names; never a patient's name.
    notes
        A sentence for everything that was doubtful, assumed or repaired when it was read.
    patient_sha256
        A hash of the patient's number, by which scans of one patient know each other; it never leaves the program.

    Raises
    ------
    ValueError
        If array and geometry differ in shape.
    """

    hu: Voxels
    geometry: Geometry
    name: str = "scan"
    notes: tuple[str, ...] = ()
    patient_sha256: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.hu.shape != self.geometry.shape:
            raise ValueError(f"The voxels are {self.hu.shape} and their grid is {self.geometry.shape}.")

    @property
    def voxels(self) -> Voxels:
        """The Hounsfield units."""
        return self.hu

    def with_voxels(self, voxels: Voxels, geometry: Geometry) -> Volume:
        """Return the same scan with other Hounsfield units on another grid."""
        return replace(self, hu=voxels, geometry=geometry)

    def noted(self, *sentences: str) -> Volume:
        """Return the same scan with more notes."""
        return replace(self, notes=(*self.notes, *sentences)) if sentences else self

    @cached_property
    def sha256(self) -> str:
        """A fingerprint of voxels and position, which follows the scan wherever its file goes."""
        as_on_file = self.geometry.affine.astype(np.float32).astype(np.float64)
        position = np.round(as_on_file, 4) + 0.0  # minus zero becomes zero
        digest = hashlib.sha256(position.tobytes())
        digest.update(str((self.hu.shape, self.hu.dtype.str)).encode())
        for plane in self.hu.transpose(2, 1, 0):
            digest.update(np.ascontiguousarray(plane).data)
        return digest.hexdigest()

    @cached_property
    def voxels_sha256(self) -> str:
        """A fingerprint of the voxels alone, in whole Hounsfield units: the same for a scan in any format and place.

        It depends on the order of the voxels: scans are compared by it in reading order.
        """
        digest = hashlib.sha256(str(self.hu.shape).encode())
        for plane in self.hu:
            digest.update(_whole(plane).tobytes())
        return digest.hexdigest()

    @cached_property
    def slices_sha256(self) -> tuple[str, ...]:
        """Short fingerprints of each slice (`copies.fingerprints`), by which a scan is known in a copy of it."""
        return tuple(fingerprints(_whole(plane)) for plane in self.hu)


def _whole(plane: Voxels) -> npt.NDArray[np.int16]:
    return np.clip(np.round(plane), -(2**15), 2**15 - 1).astype("<i2")
