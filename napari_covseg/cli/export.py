"""``covseg export``: corrected masks of review sessions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import followed, say, table
from napari_covseg.cli.options import OutFolder
from napari_covseg.cli.verb import Answer, gave_up, verb

if TYPE_CHECKING:
    from napari_covseg.review import ReviewSession


Exports = list[dict[str, Any]]
Failures = list[dict[str, str]]


class Format(StrEnum):
    """What to export to."""

    nifti = "nifti"
    bundle = "bundle"


@verb("covseg export sessions/case-1a2b3c4d --to nifti --out masks")
def export(
    sessions: Annotated[
        list[Path], typer.Argument(metavar="SESSION", help="Folders of review sessions; 'covseg review' tells where.")
    ],
    to: Annotated[Format, typer.Option("--to", help="What to write.")],
    out: OutFolder,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")] = False,
) -> Answer:
    """Write what sessions hold, and read it back before it counts.

    nifti: corrected masks on the scans' own grids, and the signatures of those that are signed. bundle: scans with
    labels on their reviewed slices alone, and cases.json, which train, finetune and evaluate take as they are; it names
    no patient. Lungs are in it where a mask lies beside the scan: <case>_lung.nii.gz beside <case>_ct.nii.gz.
    """
    work = _bundled if to is Format.bundle else _exported_all
    exports, failed = work(sessions, out, overwrite)
    values = {"exports": exports, **({"failed": failed} if failed else {})}
    return Answer(values, _shown(exports), done=not failed)


def _exported_all(sessions: list[Path], out: Path, overwrite: bool) -> tuple[Exports, Failures]:
    exports: Exports = []
    failed: Failures = []
    for folder in sessions:
        try:
            exports.append(_exported(folder, out, {each["file"] for each in exports}, overwrite))
        except (ValueError, OSError) as error:
            failed.append({"session": str(folder), "error": gave_up(error)})
    return exports, failed


def _exported(folder: Path, out: Path, written: set[str], overwrite: bool) -> dict[str, Any]:
    from napari_covseg.cli.sessions import resumed
    from napari_covseg.export import emptiness, export_nifti

    with resumed(folder) as session:
        if any(Path(file).name.startswith(f"{session.case}_lesion.") for file in written):
            raise ValueError(f"{folder} is of a second case called {session.case}; export it into another folder.")
        path = export_nifti(
            session.labels,
            session.home_geometry,
            session.case,
            out,
            overwrite=overwrite,
            signature=session.signature,
        )
        if empty := emptiness(session.labels, path):
            say(empty)
        return _told(folder, path, session)


def _bundled(sessions: list[Path], out: Path, overwrite: bool) -> tuple[Exports, Failures]:
    from napari_covseg.export.gathering import gathering

    found = followed(gathering(sessions, out, overwrite=overwrite), "Gathering reviewed slices")
    exports = [
        {
            "session": str(one.session),
            "file": str(one.file),
            "slices_reviewed": one.slices,
            "signed": one.signed,
            "case": one.case,
            "lungs": one.lungs,
        }
        for one in found.bundled
    ]
    return exports, [{"session": str(one.session), "error": gave_up(one.error)} for one in found.left_out]


def _told(folder: Path, path: Path, session: ReviewSession) -> dict[str, Any]:
    told = {
        "session": str(folder),
        "file": str(path),
        "slices_reviewed": len(session.reviewed),
        "signed": session.signature is not None,
    }
    return told if session.signature is None else told | {"signature": session.signature.as_json()}


def _shown(exports: list[dict[str, Any]]) -> Any:
    if not exports:
        return ""
    shown = table("file", ">slices reviewed", "signed")
    for each in exports:
        shown.add_row(each["file"], str(each["slices_reviewed"]), "yes" if each["signed"] else "no")
    return shown
