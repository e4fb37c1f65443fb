"""``covseg export``: corrected masks of review sessions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import table
from napari_covseg.cli.options import OutFolder
from napari_covseg.cli.verb import Answer, gave_up, verb

if TYPE_CHECKING:
    from napari_covseg.review import ReviewSession


class Format(StrEnum):
    """What to export to."""

    nifti = "nifti"
    bundle = "bundle"


@verb("covseg export sessions/case-1a2b3c4d --to nifti --out masks")
def export(
    sessions: Annotated[list[Path], typer.Argument(metavar="SESSION", help="Folders of review sessions.")],
    to: Annotated[Format, typer.Option("--to", help="What to write.")],
    out: OutFolder,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")] = False,
) -> Answer:
    """Write what sessions hold, and read it back before it counts.

    nifti: corrected masks on the scans' own grids. bundle: scans with labels on their reviewed slices alone, and
    cases.json, which train, finetune and evaluate take as they are; it names no patient. Lungs are in it where a mask
    lies beside the scan: <case>_lung.nii.gz beside <case>_ct.nii.gz.
    """
    one = _bundled if to is Format.bundle else _exported
    exports: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for folder in sessions:
        try:
            exports.append(one(folder, out, {each["file"] for each in exports}, overwrite))
        except (ValueError, OSError) as error:
            failed.append({"session": str(folder), "error": gave_up(error)})
    values = {"exports": exports, **({"failed": failed} if failed else {})}
    return Answer(values, _shown(exports), done=not failed)


def _exported(folder: Path, out: Path, written: set[str], overwrite: bool) -> dict[str, Any]:
    from napari_covseg.cli.sessions import resumed
    from napari_covseg.export import export_nifti

    with resumed(folder) as session:
        if any(Path(file).name.startswith(f"{session.case}_lesion.") for file in written):
            raise ValueError(f"{folder} is of a second case called {session.case}; export it into another folder.")
        path = export_nifti(session.labels, session.home_geometry, session.case, out, overwrite=overwrite)
        return _told(folder, path, session)


def _bundled(folder: Path, out: Path, written: set[str], overwrite: bool) -> dict[str, Any]:
    from napari_covseg.cli.sessions import lungs_beside, resumed, scan_of
    from napari_covseg.export.bundle import ReviewedScan, case_name, export_bundle

    with resumed(folder) as session:
        if str(out / f"{case_name(session.scan_sha256)}_ct.nii.gz") in written:
            raise ValueError(f"{folder} is of a scan that another session is of; export the one that counts.")
        path, scan = scan_of(session)
        lung = lungs_beside(path, scan)
        one = ReviewedScan(scan, session.labels, session.reviewed, session.scan_sha256, lung)
        (name,) = export_bundle([one], out, overwrite=overwrite)
        return {**_told(folder, out / f"{name}_ct.nii.gz", session), "case": name, "lungs": lung is not None}


def _told(folder: Path, path: Path, session: ReviewSession) -> dict[str, Any]:
    return {
        "session": str(folder),
        "file": str(path),
        "slices_reviewed": len(session.reviewed),
        "signed": session.signature is not None,
    }


def _shown(exports: list[dict[str, Any]]) -> Any:
    if not exports:
        return ""
    shown = table("file", ">slices reviewed", "signed")
    for each in exports:
        shown.add_row(each["file"], str(each["slices_reviewed"]), "yes" if each["signed"] else "no")
    return shown
