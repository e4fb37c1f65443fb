"""``covseg log``: who did what in a review session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import followed, say, table
from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.review.log_lines import Log


@verb("covseg log sessions/case-1a2b3c4d --json")
def log(
    session: Annotated[
        Path, typer.Argument(metavar="SESSION", help="The folder of a review session; 'covseg review' tells where.")
    ],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write the log into this file, for spreadsheets.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")] = False,
) -> Answer:
    """Show who changed what and when, the newest first, and verify that nothing of it was changed or removed since.

    Every entry is sealed with a hash over itself and the one before. The exit code is 1 where the log is not as it was
    written; what is left of it is shown all the same.
    """
    from napari_covseg.export.tables import write_log
    from napari_covseg.review.log_lines import log_in

    if csv is not None and csv.exists() and not overwrite:
        raise ValueError(f"{csv} is there already; --overwrite replaces it.")
    found = followed(log_in(session), f"Reading the log of {session.name}")
    if csv is not None:
        write_log(found, csv)
    say(found.verdict)
    return Answer(_told(found), _shown(found), done=not found.doubts)


def _told(found: Log) -> dict[str, Any]:
    return {
        "session": str(found.session),
        "scan": found.scan,
        "reader": found.reader,
        "verified": not found.doubts,
        "doubts": list(found.doubts),
        "entries": [line.as_json() for line in found.lines],
    }


def _shown(found: Log) -> Any:
    from napari_covseg.review.log_lines import shown

    rows = table(">entry", "when", "reader", "what", "slices", ">voxels", "network", "sealed with")
    for line in reversed(found.lines):
        rows.add_row(str(line.number), *shown(line), line.sealed_with[:12])
    return rows
