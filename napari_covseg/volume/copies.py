"""Copies of one scan: cut to fewer slices, exported again or changed somewhere, they still have slices in common.

Slices are compared by their fingerprints, as `Volume.slices_sha256` gives them: one of the slice's voxels, and, where
it shows enough lung, one of the lung alone, which is the same in a copy that was mirrored, cropped around the lungs, or
clipped to a window. A slice without a fingerprint is none in common.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Shared = tuple[tuple[int, int], ...]
"""Pairs of indices, the first in one scan and the second in the other, by the first."""

DIGITS = 12
"""Of a fingerprint: two scans of 300 slices have one in common by chance once in 3 · 10⁹ times."""

LUNG_HU = (-950, -500)
"""Of a lung's values those between are told apart: a window that shows lung at all clips none of them."""

LEAST_LUNG_PX = 500
"""A smaller piece of lung, or of bowel, may look the same in two scans."""


def fingerprints(plane: npt.NDArray[np.int16]) -> str:
    """Return the fingerprints of a slice (H, W) in whole Hounsfield units, the lung's last, apart by a space.

    Empty of a slice of one or two values: air, also in its circle of padding, is the same in every scan.
    """
    least, most = plane.min(), plane.max()
    if bool(((plane == least) | (plane == most)).all()):
        return ""
    return f"{_hashed(str(plane.shape).encode(), plane)} {_of_lung(plane)}".rstrip()


def of_voxels(slice_sha256: str) -> str:
    """Return the fingerprint of a slice's voxels; empty of a slice that has none."""
    return slice_sha256.partition(" ")[0]


def shared(one: Sequence[str], other: Sequence[str]) -> Shared:
    """Return which slices two scans have in common; none where they are no copies of one."""
    there = _places(tuple(other))
    pairs = ((index, _first(both.split(), there)) for index, both in enumerate(one))
    return tuple((index, place) for index, place in pairs if place is not None)


def moved(indices: Iterable[int], pairs: Shared) -> tuple[int, ...]:
    """Return where slices of one scan lie in the other, as seen from the nearest that both have; it may be beyond it.

    Parameters
    ----------
    indices
        In the first of two scans.
    pairs
        What they have in common, as `shared` returns it; at least one.
    """

    def place(index: int) -> int:
        near, there = min(pairs, key=lambda pair: abs(pair[0] - index))
        return there + index - near

    return tuple(map(place, indices))


@lru_cache(maxsize=4)
def _places(slices_sha256: tuple[str, ...]) -> Mapping[str, int]:
    """Return where a scan has which fingerprint, once for all the scans of a record that it is compared with."""
    return {each: index for index, both in enumerate(slices_sha256) for each in both.split()}


def _first(fingerprints: Sequence[str], there: Mapping[str, int]) -> int | None:
    return next((there[each] for each in fingerprints if each in there), None)


def _of_lung(plane: npt.NDArray[np.int16]) -> str:
    """Return the fingerprint of the largest air within the body, row by row, whichever way up; empty of too little."""
    pieces, _ = ndimage.label(plane < LUNG_HU[1])
    sizes = np.bincount(pieces.ravel())
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        sizes[edge] = 0  # the air around the body
    sizes[0] = 0
    largest = int(sizes.argmax())
    if sizes[largest] < LEAST_LUNG_PX:
        return ""
    lung = pieces == largest
    depth = np.where(lung, np.int64(LUNG_HU[1]) - plane.clip(*LUNG_HU), 0)
    rows = np.stack([lung.sum(axis=1), depth.sum(axis=1)], axis=1)[lung.any(axis=1)].astype("<i8")
    return min(_hashed(b"lung", each) for each in (rows, rows[::-1]))


def _hashed(begun_with: bytes, values: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256(begun_with)
    digest.update(values.tobytes())
    return digest.hexdigest()[:DIGITS]
