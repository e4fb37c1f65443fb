"""The table of lesions, kept up to date slice by slice while the reader edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_covseg.review.components import BY_CORNERS, IN_A_SLICE, numbered
from napari_covseg.review.correction import Correction, Labels, box_in_plane
from napari_covseg.review.scene import Place
from napari_covseg.volume import Volume

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lesion:
    """A component of one class: what hangs together by faces, edges and corners.

    Parameters
    ----------
    value
        Its class.
    ml, mean_hu
        How large and how dense it is.
    first, last
        Indices of its outermost slices, both included.
    place
        Where to go: a voxel of it, on the slice where it is largest.
    """

    value: int
    ml: float
    mean_hu: float
    first: int
    last: int
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """The components of one slice (N,): class, voxels, sum of HU, and a voxel of each as a flat index."""

    values: npt.NDArray[np.uint8]
    voxels: Counts
    hu_sums: npt.NDArray[np.float64]
    at: Counts


class LesionTable:
    """All lesions of a label map.

    A lesion is put together from its pieces on every slice. A correction has only its own slices looked at again, and
    which pieces there touch those of the slices beside them.

    Parameters
    ----------
    labels
        (D, H, W) uint8, as it stands.
    scan
        On the same grid.
    """

    def __init__(self, labels: Labels, scan: Volume) -> None:
        self.scan = scan
        self._pieces = [_pieces(plane, hu) for plane, hu in zip(labels, scan.hu, strict=True)]
        self._links = [_links(labels[at : at + 2], self._pieces[at : at + 2]) for at in range(len(labels) - 1)]

    def update(self, labels: Labels, correction: Correction) -> None:
        """Look again at the slices that a correction reached; the labels are those after it."""
        self.look_again(labels, correction.slices)

    def look_again(self, labels: Labels, slices: range) -> None:
        """Look again at slices that follow on one another; the labels are as they stand now."""
        first, last = slices[0], slices[-1]
        for at in slices:
            self._pieces[at] = _pieces(labels[at], self.scan.hu[at])
        for at in range(max(0, first - 1), min(len(labels) - 1, last + 1)):
            self._links[at] = _links(labels[at : at + 2], self._pieces[at : at + 2])

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        """Every lesion, largest first."""
        counts = [len(pieces.values) for pieces in self._pieces]
        starts = np.cumsum([0, *counts])
        total = int(starts[-1])
        if not total:
            return ()
        pairs = np.concatenate(
            [np.zeros((0, 2), np.int64), *(link + starts[at : at + 2] for at, link in enumerate(self._links))]
        )
        touching = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(total, total))
        count, owners = connected_components(touching, directed=False)
        return self._put_together(np.repeat(np.arange(len(counts)), counts), owners, count)

    def _put_together(self, slices: Counts, owners: npt.NDArray[np.int32], count: int) -> tuple[Lesion, ...]:
        """Return lesions from the slice and the lesion of every piece."""
        values, at = (np.concatenate([getattr(p, name) for p in self._pieces]) for name in ("values", "at"))
        sizes = np.concatenate([pieces.voxels for pieces in self._pieces])
        hu_sums = np.concatenate([pieces.hu_sums for pieces in self._pieces])
        voxels = np.bincount(owners, weights=sizes, minlength=count)
        mean_hu = np.bincount(owners, weights=hu_sums, minlength=count) / voxels
        order = np.lexsort((-sizes, owners))
        largest = order[np.searchsorted(owners[order], np.arange(count))]
        first, last = np.full(count, len(self._pieces)), np.zeros(count, dtype=int)
        np.minimum.at(first, owners, slices)
        np.maximum.at(last, owners, slices)
        width = self.scan.hu.shape[2]
        return tuple(
            Lesion(
                int(values[largest[n]]),
                float(voxels[n] * self.scan.geometry.voxel_ml),
                float(mean_hu[n]),
                int(first[n]),
                int(last[n]),
                (int(slices[largest[n]]), int(at[largest[n]] // width), int(at[largest[n]] % width)),
            )
            for n in np.argsort(-voxels, kind="stable")
        )


def _pieces(labels: Labels, hu: npt.NDArray[Any]) -> _Pieces:
    """Return the components of a slice; of each, the middle voxel in reading order stands for it."""
    around = box_in_plane(labels)
    inner = labels[around]
    found = numbered(inner, IN_A_SLICE).ravel()
    at = np.flatnonzero(found)
    numbers = found[at].astype(np.min_scalar_type(int(found.max(initial=0))))
    sorted_at = at[np.argsort(numbers, kind="stable")]
    voxels = np.bincount(numbers, minlength=1)[1:]
    middles = sorted_at[np.cumsum(voxels) - voxels + voxels // 2]
    hu_sums = np.bincount(numbers, weights=hu[around].ravel()[at], minlength=1).astype(np.float64)[1:]
    rows, columns = np.divmod(middles, inner.shape[1])
    flat = (rows + around[0].start) * labels.shape[1] + columns + around[1].start
    return _Pieces(inner.ravel()[middles], voxels, hu_sums, flat)


def _links(labels: Labels, pieces: Sequence[_Pieces]) -> Counts:
    """Return which pieces of two neighbouring slices hang together, (N, 2)."""
    around = box_in_plane(np.asarray(labels.any(axis=0)))
    found = np.zeros(labels.shape, dtype=np.uint32)
    found[:, around[0], around[1]] = numbered(labels[:, around[0], around[1]], BY_CORNERS)
    upper, lower = (plane.ravel()[each.at] for plane, each in zip(found, pieces, strict=True))
    shared, first_upper, first_lower = np.intersect1d(upper, lower, return_indices=True)
    down = np.flatnonzero(np.isin(upper, shared))
    up = np.flatnonzero(np.isin(lower, shared))
    ours = np.concatenate([down, first_upper[np.searchsorted(shared, lower[up])]])
    theirs = np.concatenate([first_lower[np.searchsorted(shared, upper[down])], up])
    return np.stack([ours, theirs], axis=1)
