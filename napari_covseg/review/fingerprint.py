"""A fingerprint of what a session teaches: whoever learned from it can say so, and whether it has changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np

from napari_covseg.volume import LabelMap, Volume

LOOKED_FOR = ("ggo", "consolidation", "effusion")
"""What a reader who marks a slice reviewed has looked for."""


def reviewed_sha256(
    scan: Volume, labels: LabelMap, reviewed: Collection[int], annotated: Collection[str] = LOOKED_FOR
) -> str:
    """Return the fingerprint of the scan, its reviewed slices, their labels, and the classes that were looked for.

    It is the same for a session and for its case in a bundle.

    Parameters
    ----------
    scan, labels
        In reading order.
    reviewed
        Indices of the reviewed slices.
    annotated
        What was looked for on them.
    """
    slices = sorted(set(reviewed))
    digest = hashlib.sha256(scan.voxels_sha256.encode())
    digest.update(repr((labels.values.shape, tuple(slices), sorted(annotated))).encode())
    digest.update(np.ascontiguousarray(labels.values[slices]).tobytes())
    return digest.hexdigest()
