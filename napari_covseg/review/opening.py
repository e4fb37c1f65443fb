"""The journal of a scan's session, and what it says about its scan."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_covseg.review.journal import Journal
from napari_covseg.review.recovery import FILE_NAME
from napari_covseg.review.snapshot import PREFIX
from napari_covseg.volume import Geometry, Volume


def is_session(folder: Path) -> bool:
    """Whether a folder holds a review session, whole or damaged."""
    return (folder / FILE_NAME).exists() or any(folder.glob(f"{PREFIX}*.npz"))


def journal_of(folder: Path, scan: Volume, reader: str, scan_path: Path | None, read_only: str = "") -> Journal:
    """Open the journal of a scan, or begin one; where it cannot or may not be written it is read-only.

    The scan's fingerprint covers its grid, so where the journal tells another grid the scan is right.

    Raises
    ------
    ValueError
        If the folder holds the session of another scan.
    """
    journal = Journal(folder, reader, read_only)
    sha256 = scan.sha256
    if journal.about.get("scan_sha256") not in (None, sha256):
        journal.close()
        raise ValueError(
            f"The folder {folder.name} among your sessions holds that of another scan; move it out of {folder.parent}, "
            "then open this scan again."
        )
    grid = {"shape": list(scan.geometry.shape), "affine": scan.geometry.affine.tolist()}
    facts = {"scan_sha256": sha256, "scan_name": scan.name, "grid": grid, "reader": reader}
    fresh = {key: value for key, value in facts.items() if key not in journal.about}
    if scan_path is not None and journal.about.get("scan_path") != str(scan_path.resolve()):
        fresh["scan_path"] = str(scan_path.resolve())
    try:
        journal.remember(fresh)
    except OSError as error:
        journal.close()
        journal = Journal(folder, reader, read_only=f"{error} It can be looked at but not changed.")
        journal.remember(fresh)
    if not is_on(journal.about["grid"], scan.geometry):
        journal.vouch_for({"grid": grid})
    return journal


def scan_of(journal: Journal) -> tuple[str, str, Geometry]:
    """Return the fingerprint, the name and the grid of the scan that a journal belongs to.

    Raises
    ------
    ValueError
        If it does not say.
    """
    about = journal.about
    try:
        return about["scan_sha256"], about["scan_name"], _grid_told(about["grid"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"The session {journal.folder.name} does not say which scan it belongs to.") from None


def is_on(grid: Mapping[str, Any], geometry: Geometry) -> bool:
    """Whether a grid that a journal tells is this one; also not where it is none."""
    with suppress(KeyError, TypeError, ValueError):
        return _grid_told(grid).same_grid(geometry)
    return False


def _grid_told(grid: Mapping[str, Any]) -> Geometry:
    return Geometry(tuple(grid["shape"]), np.array(grid["affine"]))
