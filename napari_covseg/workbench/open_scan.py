"""A scan on the bench: its voxels in reading order, its session, its lungs, what the networks drew."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_covseg.review import Proposals, ReviewSession
from napari_covseg.review.drawn_lungs import LungFiles
from napari_covseg.volume import LUNGS, LabelMap, Volume, reoriented
from napari_covseg.workbench.source import Source

if TYPE_CHECKING:
    import numpy.typing as npt

UNKEPT = (
    "The lungs could not be kept beside the session ({}): the lung brush knows them until the scan is closed; see that "
    "the session's folder can be written, then segment again."
)


@dataclass(frozen=True, slots=True, eq=False)
class Lungs:
    """The lungs as networks drew them: a second label map, which no correction and no undo reaches.

    Parameters
    ----------
    labels
        On the reading grid; memory is taken only by slices that were written.
    slices
        Indices of the slices on which a network said where the lungs are.
    files
        Beside the session; None where nothing may be written.
    unkept
        Indices of the slices whose lungs could not be kept there, and are known in this window alone.
    """

    labels: LabelMap
    slices: set[int] = field(default_factory=set)
    files: LungFiles | None = None
    unkept: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, session: ReviewSession) -> Lungs:
        """Return the lungs as they were drawn when the session was open last, if they were."""
        geometry = session.geometry
        values, slices = np.zeros(geometry.shape, dtype=np.uint8), set()
        files = LungFiles(session.folder, session.scan_sha256, geometry.shape)
        for index, mask in files.kept():
            values[index] = mask
            slices.add(index)
        return cls(LabelMap(values, geometry, LUNGS), slices, None if session.is_read_only else files)

    def write(self, index: int, mask: npt.NDArray[np.bool_]) -> str:
        """Put a slice's lungs in place of what was there before, also beside the session.

        Returns
        -------
        str
            Why they could not be kept there, where this is the first slice that could not; empty otherwise.
        """
        self.labels.values[index] = mask
        self.slices.add(index)
        try:
            if self.files is not None:
                self.files.keep(index, mask)
        except OSError as error:
            is_first = not self.unkept
            self.unkept.add(index)
            return UNKEPT.format(error.strerror or error) if is_first else ""
        self.unkept.discard(index)
        return ""

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

    @property
    def of_another_scan(self) -> str:
        """Why the labels are not of these voxels, but of those that were there before; empty where they are."""
        if self.session.scan_sha256 == self.source.sha256:
            return ""
        return (
            f"{self.path.name} has changed on disk since this session began; its labels and marks are those of the "
            "scan as it was then. Put the old scan back, or give the new one another name and correct it anew."
        )


def on_the_bench(source: Source, volume: Volume, session: ReviewSession) -> OpenScan:
    """Return a scan with its session, and what networks drew on it."""
    scan = reoriented(volume)
    return OpenScan(source, scan, session, Lungs.of(session), Proposals(session.folder, scan.geometry.shape))


def snapshot(session: ReviewSession) -> LabelMap:
    """Return a session's labels as a copy that later corrections do not reach, for a job to work on."""
    labels = session.labels
    return labels.with_voxels(labels.values.copy(), labels.geometry)
