"""``covseg review``: napari with a scan's review session open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_covseg.cli.console import say
from napari_covseg.cli.options import known_network
from napari_covseg.cli.verb import Answer, verb
from napari_covseg.cli.window import hindrance, open_window


def _known_or_none(key: str | None) -> str | None:
    return key if key is None else known_network(key)


@verb("covseg review scan.nii.gz --network res_att_unet")
def review(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", readable=False, help="A scan: a file or a DICOM folder.")],
    network: Annotated[
        str | None,
        typer.Option("--network", metavar="KEY", callback=_known_or_none, help="The network to have chosen."),
    ] = None,
    reader: Annotated[
        str,
        typer.Option("--reader", metavar="NAME", help="Who reads; the name in the Open panel without."),
    ] = "",
) -> Answer:
    """Open napari with the scan and its review session, new or as it was left."""
    from napari_covseg.io import home
    from napari_covseg.review.shelf import OWN_FOLDER

    if not scan.exists():
        raise ValueError(f"There is no file or folder {scan}; check the name.")
    if reason := hindrance():
        raise ValueError(reason)
    sessions = home() / OWN_FOLDER
    say(f"Review sessions are kept in {sessions}; Log in Review tells which folder is this one's.")
    chosen = ("--network", network) if network else ()
    named = (f"--reader={reader}",) if reader else ()
    open_window([str(scan), *chosen, *named])
    return Answer({"scan": str(scan), "sessions": str(sessions)})
