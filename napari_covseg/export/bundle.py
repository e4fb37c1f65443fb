"""The reviewed slices of many sessions as annotated cases, for training elsewhere; ``covseg train`` takes them as is.

Every case is a whole scan, since a 3-D network needs a slice's neighbours, with labels on its reviewed slices alone;
``cases.json`` names these slices, and a patient by a hash that only this installation can make.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.io import home, write_labels, write_volume, written
from napari_covseg.io.case_listing import FILE_NAME, read_listing
from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.review.fingerprint import LOOKED_FOR, reviewed_sha256
from napari_covseg.volume import LabelMap, Volume, labels_on, reoriented

KEY_FILE = "bundle.key"


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
    """

    scan: Volume
    labels: LabelMap
    reviewed: tuple[int, ...]
    scan_sha256: str
    lung: LabelMap | None = None


def export_bundle(
    sessions: Sequence[ReviewedScan], folder: Path, *, key: bytes | None = None, overwrite: bool = False
) -> tuple[str, ...]:
    """Write sessions as annotated cases, read them back as training would, and return the cases' names.

    Cases that are in the folder already stay; the listing is written last, so that a case is in it or is not there.

    Parameters
    ----------
    sessions
        Of different scans.
    folder
        Where to; made if missing.
    key
        Makes hashes of scans; this installation's own without.
    overwrite
        Replace cases that are there already.

    Raises
    ------
    ValueError
        If a session has no reviewed slice, two are of one scan, lungs are not on the grid of their labels, or the
        listing that is there cannot be understood.
    FileExistsError
        If a case is there already and is not to be replaced.
    OSError
        If something cannot be written, or reads back otherwise.
    """
    key = _own_key() if key is None else key
    listing = read_listing(folder / FILE_NAME)
    names = [case_name(one.scan_sha256, key) for one in sessions]
    if len(set(names)) < len(names):
        raise ValueError("Two sessions are of one scan; export the one that counts.")
    for name, one in zip(names, sessions, strict=True):
        if not one.reviewed:
            raise ValueError(f"No slice of {one.scan.name} is marked reviewed; mark those that are true.")
        if one.lung is not None and not one.lung.geometry.same_grid(one.labels.geometry):
            raise ValueError(f"The lungs of {one.scan.name} are not on the grid of its scan; draw them on this scan.")
        if name in listing and not overwrite:
            raise FileExistsError(f"{folder / name}_ct.nii.gz is there already and was kept; choose another folder.")
    for name, one in zip(names, sessions, strict=True):
        _write(one, folder, name)
        listing[name] = _entry(one, _hashed(key, "patient", one.scan_sha256))
        with written(folder / FILE_NAME) as draft:
            draft.write_text(json.dumps(listing, indent=1), "utf-8")
    _check(dict(zip(names, sessions, strict=True)), folder)
    return tuple(names)


def case_name(scan_sha256: str, key: bytes | None = None) -> str:
    """Return what a scan's case is called in a bundle."""
    return _hashed(_own_key() if key is None else key, "case", scan_sha256)


def _write(one: ReviewedScan, folder: Path, name: str) -> None:
    """Write a scan, its labels and its lungs where they are known, with nothing on slices that nobody reviewed."""
    write_volume(one.scan, folder / f"{name}_ct.nii.gz")
    lung_file = folder / f"{name}_lung.nii.gz"
    lung_file.unlink(missing_ok=True)  # of an export before, which this one replaces
    for labels, path in ((one.labels, folder / f"{name}_lesion.nii.gz"), (one.lung, lung_file)):
        if labels is not None:
            truth = LabelMap(_on_reviewed(labels, one.reviewed), labels.geometry, labels.scheme)
            write_labels(labels_on(truth, one.scan.geometry), path)


def _on_reviewed(labels: LabelMap, reviewed: Sequence[int]) -> npt.NDArray[np.uint8]:
    truth = np.zeros_like(labels.values)
    truth[list(reviewed)] = labels.values[list(reviewed)]
    return truth


def _entry(one: ReviewedScan, patient: str) -> dict[str, Any]:
    return {
        "annotated": [*LOOKED_FOR, *(["lung"] if one.lung is not None else [])],
        "patient": patient,
        "slices": [index + 1 for index in sorted(one.reviewed)],
        "session_sha256": reviewed_sha256(one.scan_sha256, one.labels, one.reviewed),
    }


def _check(meant: dict[str, ReviewedScan], folder: Path) -> None:
    """Read the cases back, as training would."""
    found = {case.name: case for case in find_cases([folder])}
    for name, one in meant.items():
        case = found.get(name)
        if case is None or case.slices != tuple(index + 1 for index in sorted(one.reviewed)):
            raise OSError(f"{name} was not saved: {FILE_NAME} does not say what was written.")
        scan, *found_maps = read_case(case)
        same = all(_is_same(*both, one.reviewed) for both in zip(found_maps, (one.labels, one.lung), strict=True))
        if not same or not np.array_equal(scan.hu, reoriented(one.scan).hu):
            raise OSError(f"{name} was not saved: what was read back differs from what was written.")


def _is_same(found: LabelMap | None, meant: LabelMap | None, reviewed: Sequence[int]) -> bool:
    if found is None or meant is None:
        return found is meant
    return bool(np.array_equal(found.values, _on_reviewed(meant, reviewed)))


def _hashed(key: bytes, what: str, scan_sha256: str) -> str:
    return f"{what}-{hmac.new(key, f'{what} {scan_sha256}'.encode(), hashlib.sha256).hexdigest()[:16]}"


def _own_key() -> bytes:
    """Return this installation's key, made when it is first needed; without it nobody can tell whose a case is."""
    path = home() / KEY_FILE
    if not path.exists():
        with written(path) as draft:
            draft.write_bytes(secrets.token_bytes(32))
            draft.chmod(0o600)
    return path.read_bytes()
