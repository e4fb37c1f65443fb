"""``covseg export``: corrected masks of review sessions."""

from __future__ import annotations

import getpass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_covseg.cli.console import say, table
from napari_covseg.cli.options import OutFolder
from napari_covseg.cli.verb import Answer, sentence_of, verb


class Format(StrEnum):
    """What to export to."""

    nifti = "nifti"


@verb("covseg export sessions/case-1a2b3c4d --to nifti --out masks")
def export(
    sessions: Annotated[list[Path], typer.Argument(metavar="SESSION", help="Folders of review sessions.")],
    to: Annotated[Format, typer.Option("--to", help="What to write.")],
    out: OutFolder,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace masks that are there already.")] = False,
) -> Answer:
    """Write the corrected masks of sessions on their scans' own grids, and read each back before it counts."""
    del to  # there is one format so far, and typer has checked that it was meant
    exports: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for folder in sessions:
        try:
            exports.append(_exported(folder, out, {each["file"] for each in exports}, overwrite))
        except (ValueError, OSError) as error:
            say(sentence_of(error))
            failed.append({"session": str(folder), "error": sentence_of(error)})
    values = {"exports": exports, **({"failed": failed} if failed else {})}
    return Answer(values, _shown(exports), done=not failed)


def _exported(folder: Path, out: Path, written: set[str], overwrite: bool) -> dict[str, Any]:
    from napari_covseg.export import export_nifti
    from napari_covseg.review import ReviewSession
    from napari_covseg.review.session_facts import ONLY_LOOKED_AT

    session = ReviewSession.resume(folder, getpass.getuser(), read_only=ONLY_LOOKED_AT)
    try:
        for note in session.notes:
            if note != ONLY_LOOKED_AT:
                say(f"{folder.name}: {note}")
        if any(Path(file).name.startswith(f"{session.case}_lesion.") for file in written):
            raise ValueError(f"{folder} is of a second case called {session.case}; export it into another folder.")
        path = export_nifti(session.labels, session.home_geometry, session.case, out, overwrite=overwrite)
        return {
            "session": str(folder),
            "file": str(path),
            "slices_reviewed": len(session.reviewed),
            "signed": session.signature is not None,
        }
    finally:
        session.close()


def _shown(exports: list[dict[str, Any]]) -> Any:
    if not exports:
        return ""
    shown = table("mask", ">slices reviewed", "signed")
    for each in exports:
        shown.add_row(each["file"], str(each["slices_reviewed"]), "yes" if each["signed"] else "no")
    return shown
