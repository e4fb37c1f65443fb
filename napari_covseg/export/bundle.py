"""The reviewed slices of a session as an annotated case, for training elsewhere; ``covseg train`` takes it as it is.

Every case is a whole scan, since a 3-D network needs a slice's neighbours, with labels on its reviewed slices alone;
``cases.json`` names these slices, and a patient by a hash that only this installation can make, of the number
in the DICOM headers where the scan has them. It tells the lineage, too: which checkpoints drew on the
reviewed slices, and who marked each, by such a hash, and when.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.io import write_labels, write_volume, written
from napari_covseg.io.case_listing import FILE_NAME, read_listing
from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.io.label_values import classes_alone
from napari_covseg.io.pseudonyms import own_key, patient_of, pseudonym
from napari_covseg.jobs import Job, Progress
from napari_covseg.review.fingerprint import LOOKED_FOR, reviewed_sha256
from napari_covseg.review.reader_names import name_key
from napari_covseg.review.signing import Mark
from napari_covseg.volume import LabelMap, Volume, labels_on, reoriented

SCAN, LABELS, LUNG = "_ct.nii.gz", "_lesion.nii.gz", "_lung.nii.gz"


@dataclass(frozen=True, slots=True, eq=False)
class ReviewedScan:
    """What one session adds to a bundle.

    Parameters
    ----------
    scan
        On its own grid.
    labels
        In reading order.
    reviewed
        Indices of the reviewed slices.
    scan_sha256
        Which scan it is.
    lung
        Where the lungs are, in reading order; None where nobody knows.
    marks
        Who reviewed which slice, by its index, and when.
    proposed_by
        What drew on the reviewed slices: the networks' keys, and the fingerprints of their checkpoints.
    """

    scan: Volume
    labels: LabelMap
    reviewed: tuple[int, ...]
    scan_sha256: str
    lung: LabelMap | None = None
    marks: Mapping[int, Mark] = field(default_factory=dict)
    proposed_by: tuple[tuple[str, str], ...] = ()


class NothingReviewedError(ValueError):
    """A session in which no slice is marked reviewed has nothing to teach."""


def bundling(one: ReviewedScan, folder: Path, *, key: bytes | None = None, overwrite: bool = False) -> Job[str]:
    """Write a session as an annotated case, read it back as training would, and return the case's name.

    Cases that are in the folder already stay. The labels are written last: without them nothing is taken for a case, so
    that one whose writing was stopped or killed never teaches its unreviewed slices as healthy.

    Parameters
    ----------
    one
        What to write.
    folder
        Where to; made if missing.
    key
        Makes hashes of scans; this installation's own without.
    overwrite
        Replace the case where it is there already.

    Raises
    ------
    ValueError
        If no slice is reviewed, the lungs are not on the grid of the labels, or the listing that is there cannot be
        understood.
    FileExistsError
        If the case is there already and is not to be replaced.
    OSError
        If something cannot be written, or reads back otherwise.
    """
    key = own_key() if key is None else key
    name = case_name(one.scan_sha256, key)
    _refuse(one)
    if not overwrite:
        refuse_twice(folder, name)
    read_listing(folder / FILE_NAME)
    yield Progress(0, 2, "writing the scan")
    try:
        _list(folder, name, _entry(one, key))
        write_volume(one.scan, folder / f"{name}_ct.nii.gz")
        yield Progress(1, 2, "writing the labels")
        _write_labels(one, folder, name)
        _check(one, folder, name)
    except BaseException:  # stopped, too
        _remove(folder, name)
        raise
    yield Progress(2, 2, "read back")
    return name


def refuse_twice(folder: Path, name: str) -> None:
    """Refuse a case that is in a bundle already.

    Raises
    ------
    FileExistsError
        If it is.
    """
    if name in read_listing(folder / FILE_NAME) and (folder / f"{name}{LABELS}").exists():
        raise FileExistsError(f"{folder / name}{SCAN} is there already and was kept; choose another folder.")


def case_name(scan_sha256: str, key: bytes | None = None) -> str:
    """Return what a scan's case is called in a bundle."""
    return pseudonym("case", scan_sha256, key)


def _refuse(one: ReviewedScan) -> None:
    if not one.reviewed:
        raise NothingReviewedError(f"No slice of {one.scan.name} is marked reviewed; mark those that are true.")
    if one.lung is not None and not one.lung.geometry.same_grid(one.labels.geometry):
        raise ValueError(f"The lungs of {one.scan.name} are not on the grid of its scan; draw them on this scan.")


def _list(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Put a case on the listing; one that was there before is none from here on until its labels are written."""
    for ending in (LABELS, LUNG):
        (folder / f"{name}{ending}").unlink(missing_ok=True)
    listing = {**read_listing(folder / FILE_NAME), name: entry}
    with written(folder / FILE_NAME) as draft:
        draft.write_text(json.dumps(listing, indent=1), "utf-8")


def _write_labels(one: ReviewedScan, folder: Path, name: str) -> None:
    """Write lungs where they are known, then labels, with nothing on slices that nobody reviewed."""
    for labels, ending in ((one.lung, LUNG), (one.labels, LABELS)):
        if labels is not None:
            truth = LabelMap(_on_reviewed(labels, one.reviewed), labels.geometry, labels.scheme)
            write_labels(labels_on(truth, one.scan.geometry), folder / f"{name}{ending}")


def _remove(folder: Path, name: str) -> None:
    """Remove a case's files, its labels first; its place on the listing says nothing without them."""
    with suppress(OSError):
        for ending in (LABELS, LUNG, SCAN):
            (folder / f"{name}{ending}").unlink(missing_ok=True)


def _on_reviewed(labels: LabelMap, reviewed: Sequence[int]) -> npt.NDArray[np.uint8]:
    truth = np.zeros_like(labels.values)
    truth[list(reviewed)] = labels.values[list(reviewed)]
    return truth


def _entry(one: ReviewedScan, key: bytes) -> dict[str, Any]:
    return {
        "annotated": [*LOOKED_FOR, *(["lung"] if one.lung is not None else [])],
        "patient": patient_of(one.scan, one.scan_sha256, key),
        "slices": [index + 1 for index in sorted(one.reviewed)],
        "session_sha256": reviewed_sha256(reoriented(one.scan), one.labels, one.reviewed),
        "proposed_by": [{"network": network, "checkpoint_sha256": sha256} for network, sha256 in one.proposed_by],
        "marks": [
            {
                "slice": index + 1,
                "reader": pseudonym("reader", name_key(mark.reader), key),
                "time_utc": mark.time_utc.isoformat(timespec="seconds"),
            }
            for index, mark in sorted(one.marks.items())
        ],
    }


def _check(one: ReviewedScan, folder: Path, name: str) -> None:
    """Read the case back, as training would."""
    case = {case.name: case for case in find_cases([folder])}.get(name)
    if case is None or case.slices != tuple(index + 1 for index in sorted(one.reviewed)):
        raise OSError(f"{name} was not saved: {FILE_NAME} does not say what was written.")
    scan, *found_maps = read_case(case)
    same = all(_is_same(*both, one.reviewed) for both in zip(found_maps, (one.labels, one.lung), strict=True))
    if not same or not np.array_equal(scan.hu, reoriented(one.scan).hu):
        raise OSError(f"{name} was not saved: what was read back differs from what was written.")


def _is_same(found: LabelMap | None, meant: LabelMap | None, reviewed: Sequence[int]) -> bool:
    if found is None or meant is None:
        return found is meant
    return bool(np.array_equal(found.values, _on_reviewed(classes_alone(meant), reviewed)))
