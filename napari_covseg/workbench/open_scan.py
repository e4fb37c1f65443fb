"""A scan on the bench: its voxels in reading order, its session, its lungs, what the networks drew."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_covseg.review import Proposals, ReviewSession
from napari_covseg.review.drawn_lungs import keep_lung, kept_lungs
from napari_covseg.volume import LUNGS, LabelMap, Volume, reoriented
from napari_covseg.workbench.source import Source

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Lungs:
    """The lungs as networks drew them: a second label map, which no correction and no undo reaches.

    Parameters
    ----------
    labels
        On the reading grid; memory is taken only by slices that were written.
    slices
        Indices of the slices on which a network said where the lungs are.
    kept_in
        The folder of the session that they are kept beside; None where nothing may be written.
    """

    labels: LabelMap
    slices: set[int] = field(default_factory=set)
    kept_in: Path | None = None

    @classmethod
    def of(cls, session: ReviewSession) -> Lungs:
        """Return the lungs as they were drawn when the session was open last, if they were."""
        geometry = session.geometry
        values, slices = np.zeros(geometry.shape, dtype=np.uint8), set()
        for index, mask in kept_lungs(session.folder, geometry.shape):
            values[index] = mask
            slices.add(index)
        return cls(LabelMap(values, geometry, LUNGS), slices, None if session.is_read_only else session.folder)

    def write(self, index: int, mask: npt.NDArray[np.bool_]) -> None:
        """Put a slice's lungs in place of what was there before, also beside the session."""
        if self.kept_in is not None:
            keep_lung(self.kept_in, index, mask)
        self.labels.values[index] = mask
        self.slices.add(index)

    def mask(self, index: int | None = None) -> npt.NDArray[np.bool_] | None:
        """Return the lungs as a mask, without a copy; None where nobody drew them, on a slice or at all."""
        is_known = bool(self.slices) if index is None else index in self.slices
        return self.labels.values.view(np.bool_) if is_known else None


@dataclass(frozen=True, slots=True, eq=False)
class OpenScan:
    """A scan on the bench: where it is from, its voxels in reading order, its session, lungs and proposals."""

    source: Source
    scan: Volume
    session: ReviewSession
    lungs: Lungs
    proposals: Proposals

    @property
    def path(self) -> Path:
        """Where it was read from."""
        return self.source.path


def on_the_bench(source: Source, volume: Volume, session: ReviewSession) -> OpenScan:
    """Return a scan with its session, and what networks drew on it."""
    scan = reoriented(volume)
    return OpenScan(source, scan, session, Lungs.of(session), Proposals(session.folder, scan.geometry.shape))


def snapshot(session: ReviewSession) -> LabelMap:
    """Return a session's labels as a copy that later corrections do not reach, for a job to work on."""
    labels = session.labels
    return labels.with_voxels(labels.values.copy(), labels.geometry)
