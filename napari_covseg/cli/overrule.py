"""``covseg overrule``: a reader decides against a gate, or takes that back."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.networks import Checkpoint


@verb("covseg overrule mine --reason 'finds the small nodes'")
def overrule(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT", help="A fine-tuned one: its name in 'covseg networks', or its file."),
    ],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the decision.")],
    take_back: Annotated[
        bool, typer.Option("--take-back", help="Take an earlier decision back: what the gate said holds again.")
    ] = False,
) -> Answer:
    """Promote a fine-tuned network against its gate; who decided it, why and when is kept."""
    from napari_covseg.networks import lineage

    trained = _found(checkpoint)
    gate = lineage.verdict_of(trained)
    if not gate:
        raise ValueError(f"{trained.name} was not judged by a gate, so there is no verdict to overrule.")
    if gate.get("promoted", False):
        raise ValueError(f"The gate promoted {trained.name}; there is nothing to overrule.")
    if take_back != lineage.is_promoted(trained):
        told = "not promoted; there is nothing to take back" if take_back else "promoted already; --take-back undoes it"
        raise ValueError(f"{trained.name} is {told}.")
    decision = lineage.overrule(trained, getpass.getuser(), reason, promoted=not take_back)
    told = f"{trained.name} is {'promoted against its gate' if decision.promoted else 'not promoted any more'}."
    about = {"checkpoint": str(trained.path), "sha256": trained.sha256, **decision.model_dump(mode="json")}
    return Answer({key: value for key, value in about.items() if key != "checkpoint_sha256"}, told)


def _found(name: str) -> Checkpoint:
    """Return a checkpoint by the name it has in the list, or by its file.

    Raises
    ------
    ValueError
        If there is none.
    """
    from napari_covseg.networks import available, checkpoint

    named = (one for network in available() for one in checkpoint.known(network) if one.name == name)
    return next(named, None) or checkpoint.read(Path(name))
