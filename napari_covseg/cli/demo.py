"""``covseg demo``: the main job on the bundled sample."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_covseg.cli.console import say, table
from napari_covseg.cli.options import OutFolder
from napari_covseg.cli.verb import Answer, verb
from napari_covseg.cli.window import hindrance, open_window

if TYPE_CHECKING:
    from napari_covseg.networks import Checkpoint


@verb("covseg demo --out demo_out")
def demo(
    out: OutFolder = Path("demo_out"),
    close: Annotated[bool, typer.Option("--close", help="Close the window when the job is done.")] = False,
) -> Answer:
    """Do the whole job on a synthetic scan: open, segment, correct, fine-tune, export.

    Opens napari where there is a screen; pictures, the corrected mask and a table of millilitres are left either way.
    """
    trained = _any_checkpoint()
    reason = hindrance()
    if not reason:
        nobody_watches = close or os.environ.get("COVSEG_HEADLESS") == "1"
        open_window(["--demo", "--out", str(out), *(["--close"] if nobody_watches else [])])
        return Answer({"out": str(out), "window": True}, f"What the demo wrote is in {out}.")
    say(f"{reason} The same job runs without a window.")
    from napari_covseg.cli.main_job import carry_out

    written = {kind: [str(path) for path in paths] for kind, paths in carry_out(trained, out).items()}
    shown = table("", "where")
    for kind, paths in written.items():
        for path in paths:
            shown.add_row(kind, path)
    return Answer({"out": str(out), "window": False, "written": written}, shown)


def _any_checkpoint() -> Checkpoint:
    """Return the best measured network's checkpoint, shipped ones first.

    Raises
    ------
    ValueError
        If no network has any.
    """
    from napari_covseg.networks.checkpoint import best_first
    from napari_covseg.networks.lineage import first

    found = [trained for key in best_first() if (trained := first(key)) is not None]
    if not found:
        raise ValueError("No trained weights are at hand, and the demo needs some; make them with 'covseg train'.")
    return min(found, key=lambda trained: not trained.is_shipped)
