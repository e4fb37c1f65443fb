"""Whether the values of a label map are those of its scheme."""

from __future__ import annotations

import numpy as np

from napari_covseg.volume import LabelMap

MOST_LISTED = 5


def known(labels: LabelMap, name: str) -> LabelMap:
    """Return the labels; their notes tell which of their values are no class.

    Raises
    ------
    ValueError
        If none of the values that are there is one.
    """
    classes = {each.value for each in labels.scheme}
    present = values_in(labels)
    foreign = [value for value in present if value not in classes]
    if not foreign:
        return labels
    listed = ", ".join(str(value) for value in foreign[:MOST_LISTED]) + (" …" if len(foreign) > MOST_LISTED else "")
    meant = ", ".join(f"{each.value} {each.name}" for each in labels.scheme)
    if len(foreign) == len(present):
        raise ValueError(f"{name} marks its voxels with {listed}, which is no class; save it with the values {meant}.")
    return labels.noted(
        f"{name} also holds {listed}, which is no class ({meant}); voxels of these values are taken for none of them."
    )


def classes_alone(labels: LabelMap) -> LabelMap:
    """Return the labels with nothing marked where a value is no class, so that nothing takes it for one."""
    counting = np.zeros(256, np.uint8)
    for each in labels.scheme:
        counting[each.value] = each.value
    return labels.with_voxels(counting[labels.values], labels.geometry)


def values_in(labels: LabelMap) -> list[int]:
    """Return the values that are there, but for the background's 0."""
    counts = sum((np.bincount(plane.ravel(), minlength=256) for plane in labels.values.T), np.zeros(256, np.int64))
    return [int(value) for value in np.flatnonzero(counts) if value]
