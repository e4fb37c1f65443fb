"""What the reader asks for: which slices a network runs on, and how it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from napari_covseg.networks import Checkpoint
from napari_covseg.review import ReviewSession


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """What to segment, with what.

    Parameters
    ----------
    trained
        The checkpoint; it decides network and classes.
    scope
        This slice, the range `first` … `last`, or the whole scan.
    centre
        The slice on screen, index from the apex; finished slices appear from here outward.
    first, last
        Both included, indices from the apex; for the scope ``range``.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    over_corrections
        Also write on slices the reader corrected by hand. Reviewed slices are never written on.
    """

    trained: Checkpoint
    scope: Literal["slice", "range", "scan"] = "scan"
    centre: int = 0
    first: int = 0
    last: int = 0
    device: str = "auto"
    over_corrections: bool = False


@dataclass(frozen=True, slots=True)
class Copied:
    """Which corrections a run learns: of which reviewed slices, and when they were copied."""

    utc: datetime
    slices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LearnRequest:
    """How to learn.

    Parameters
    ----------
    steps
        Of the optimiser; None for a minute or two's.
    device
        Where to compute.
    replay
        What to rehearse; None for the synthetic sample.
    stopped
        Children's files of earlier runs on this scan that were stopped.
    copied
        Which corrections, of a run that is to be gone on with; None for all as they are.
    """

    steps: int | None = None
    device: str = "auto"
    replay: Path | None = None
    stopped: tuple[Path, ...] = ()
    copied: Copied | None = None


NOTHING_TO_RUN = (
    "Every slice asked for is reviewed or corrected by you already; nothing was run. To run on one again, take its "
    "mark back in Review, or ask under More for slices that you corrected, too."
)


def left_alone(session: ReviewSession) -> Callable[[int], bool]:
    """Return a question to ask of a slice later: whether the reader has neither corrected nor marked it since now."""
    began, own = session.journal.last, session.touched

    def is_left_alone(index: int) -> bool:
        corrected = index in session.touched - own or index in session.touched_since(began)
        return index not in session.marks and not corrected

    return is_left_alone


def slices_for(session: ReviewSession, request: SegmentRequest) -> tuple[int, ...]:
    """Return the slices to run on, from the one on screen outward; never the reader's own.

    Raises
    ------
    ValueError
        If nothing in the session can be changed, or every slice asked for is the reader's own already.
    """
    if session.refusal:
        raise ValueError(session.refusal)
    depth = session.geometry.shape[0]
    wanted: Sequence[int] = {
        "slice": range(request.centre, request.centre + 1),
        "range": range(max(0, request.first), min(depth, request.last + 1)),
        "scan": range(depth),
    }[request.scope]
    kept = set(session.reviewed)
    if request.scope != "slice" and not request.over_corrections:
        kept |= session.touched
    slices = [index for index in wanted if index not in kept]
    if not slices:
        raise ValueError(NOTHING_TO_RUN)
    return tuple(sorted(slices, key=lambda index: (abs(index - request.centre), index)))
