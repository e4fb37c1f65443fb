"""What was learned is written where it was to go or, where no file can be made any more, among the reader's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from torch import nn

from napari_covseg.io.sentences import sentence_of
from napari_covseg.jobs import Remark
from napari_covseg.networks import Card, Checkpoint, checkpoint
from napari_covseg.training.run_files import refuse_moved


def saved(
    module: nn.ModuleDict, card: Card, out: Path, named: Callable[[Path], Path] = Path
) -> tuple[Checkpoint, OSError | None]:
    """Write a checkpoint where it was to go or, where that cannot be any more, among the reader's own.

    Parameters
    ----------
    module, card
        What was learned.
    out
        Where it was to go; a run is making it `alone`.
    named
        From that place to the file that is written, as to a draft beside it.

    Returns
    -------
    The checkpoint, and why it is not where it was to go.

    Raises
    ------
    OSError
        If it can be written nowhere; the first reason.
    """
    try:
        refuse_moved(out)
        return checkpoint.save(module, card, named(out)), None
    except OSError as error:
        if error.filename is not None:
            error.filename = str(out)
        instead = checkpoint.fresh_path(card.network, datetime.now())
        if out.parent == instead.parent:
            raise
        try:
            return checkpoint.save(module, card, named(instead)), error
        except OSError:
            raise error from None


def told_elsewhere(kept: Checkpoint, why: OSError) -> Remark:
    """Return what is said of a checkpoint that is not where it was to go."""
    return Remark(f"{sentence_of(why, '')} What was learned is kept as {kept.path} instead.")
