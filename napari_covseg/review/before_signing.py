"""What a reader should look at once more before she signs; warnings, never a wall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from napari_covseg.jobs import Job, Progress
from napari_covseg.measure.findings import Finding, findings
from napari_covseg.review.signing import Mark
from napari_covseg.volume import LabelMap, Volume

LEAST_LOOK_S = 0.5
"""A reviewed slice that was on screen for less was hardly looked at."""


def checked_before_signing(labels: LabelMap, scan: Volume, marks: Mapping[int, Mark]) -> Job[tuple[Finding, ...]]:
    """Return, as a job, everything that is odd about labels and marks; each finding says where to go.

    Parameters
    ----------
    labels, scan
        On one grid, in reading order; the labels are a copy that no correction reaches.
    marks
        Reviewed slices.
    """
    yield Progress(0, 1, "looking over the label map")
    found = (*_hardly_seen(labels, marks), *findings(labels, scan))
    yield Progress(1, 1, "looking over the label map")
    return found


def _hardly_seen(labels: LabelMap, marks: Mapping[int, Mark]) -> Iterator[Finding]:
    """Yield reviewed slices that were hardly on screen; those of which nobody kept count are left out."""
    _, height, width = labels.geometry.shape
    for index, mark in sorted(marks.items()):
        if mark.seen_s is not None and mark.seen_s < LEAST_LOOK_S:
            said = f"Slice {index + 1} is marked reviewed, and was on screen for {mark.seen_s:.1f} s."
            yield Finding("hardly seen", (index, height // 2, width // 2), said)
