"""Review sessions gathered into a bundle, one after the other; what cannot be taken is told, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from napari_covseg.export.bundle import (
    LUNG,
    SCAN,
    NothingReviewedError,
    ReviewedScan,
    bundling,
    case_name,
    refuse_twice,
)
from napari_covseg.io import read_labels
from napari_covseg.jobs import Job, Progress, Remark, retold
from napari_covseg.review import ReviewSession
from napari_covseg.review.log_lines import line_of
from napari_covseg.review.session_facts import ONLY_LOOKED_AT
from napari_covseg.review.whereabouts import scan_found
from napari_covseg.volume import LUNGS, LabelMap, Volume, fitted, reoriented


@dataclass(frozen=True, slots=True)
class Bundled:
    """A session that is in a bundle now.

    Parameters
    ----------
    session
        Its folder.
    case
        What its scan is called in the bundle.
    file
        The scan there.
    slices
        How many of its slices are reviewed.
    signed
        Whether the session is closed.
    lungs
        Whether the lungs are in the bundle too.
    """

    session: Path
    case: str
    file: Path
    slices: int
    signed: bool
    lungs: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A session that was not taken, and why."""

    session: Path
    error: ValueError | OSError


@dataclass(frozen=True, slots=True)
class Gathered:
    """What became of some sessions."""

    bundled: tuple[Bundled, ...]
    left_out: tuple[LeftOut, ...]


def gathering(
    sessions: Sequence[Path], out: Path, *, near: Sequence[Path] = (), overwrite: bool = False
) -> Job[Gathered]:
    """Write the reviewed slices of sessions into a bundle, each read back; yields progress and remarks.

    A session is read as it stands on disk, and nothing in it is changed; a window may have it open. What was finished
    stays when the job is stopped.

    Parameters
    ----------
    sessions
        Their folders; of two of one scan the first is taken.
    out
        The bundle's folder; made if missing.
    near
        Folders in which a scan that has moved is looked for.
    overwrite
        Replace cases that are there already.
    """
    bundled: list[Bundled] = []
    left_out: list[LeftOut] = []
    for number, folder in enumerate(sessions):

        def tell(doing: str, done: int = number) -> Progress:
            return Progress(done, len(sessions), doing)

        try:
            names = {one.case for one in bundled}
            bundled.append((yield from _bundled(folder, out, tell, names, near=near, overwrite=overwrite)))
        except (ValueError, OSError) as error:
            left_out.append(LeftOut(folder, error))
    yield Progress(len(sessions), len(sessions), "written and read back" if bundled else "nothing was written")
    return Gathered(tuple(bundled), tuple(left_out))


def _bundled(
    folder: Path,
    out: Path,
    tell: Callable[[str], Progress],
    names: set[str],
    *,
    near: Sequence[Path],
    overwrite: bool,
) -> Job[Bundled]:
    yield tell(f"reading {folder.name}")
    with closing(ReviewSession.resume(folder, "", read_only=ONLY_LOOKED_AT)) as session:
        for note in session.notes:
            if note != ONLY_LOOKED_AT:
                yield Remark(f"{folder.name}: {note}")
        name = case_name(session.scan_sha256)
        if name in names:
            raise ValueError(f"{folder} is of a scan that another session is of; export the one that counts.")
        if not session.reviewed:
            raise NothingReviewedError(f"No slice of {session.case} is marked reviewed; mark those that are true.")
        if not overwrite:
            refuse_twice(out, name)  # before the scan is looked for
        found = scan_found(session.scan_path, session.scan_sha256, session.stated, near)
        path, scan = yield from retold(found, lambda step: tell(step.doing))
        lung = lungs_beside(path, scan)
        known = (session.marks, proposed_by(session))
        one = ReviewedScan(scan, session.labels, session.reviewed, session.scan_sha256, lung, *known)
        yield from retold(bundling(one, out, overwrite=overwrite), lambda step: tell(f"{step.doing} of {session.case}"))
        is_signed = session.signature is not None
        return Bundled(folder, name, out / f"{name}{SCAN}", len(session.reviewed), is_signed, lung is not None)


def proposed_by(session: ReviewSession) -> tuple[tuple[str, str], ...]:
    """Return what drew on a session's reviewed slices, as its log tells, in order: networks and fingerprints."""
    reviewed, lines = set(session.reviewed), map(line_of, session.trail)
    return tuple(
        dict.fromkeys(
            (line.network, line.checkpoint_sha256)
            for line in lines
            if line.kind == "correction" and line.checkpoint_sha256 and reviewed.intersection(line.slices)
        )
    )


def lungs_beside(path: Path, scan: Volume) -> LabelMap | None:
    """Return the lungs that lie beside a scan, ``<case>_lung.nii.gz`` beside ``<case>_ct.nii.gz``, in reading order.

    Raises
    ------
    ValueError
        If the file cannot be read or is not of this scan.
    """
    beside = path.with_name(f"{path.name.removesuffix(SCAN)}{LUNG}")
    if not path.name.endswith(SCAN) or not beside.exists():
        return None
    return reoriented(fitted(read_labels(beside, LUNGS), scan))
