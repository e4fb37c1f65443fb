"""The options of cross-validation, which training and evaluation share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from napari_covseg.io.cases import Case
    from napari_covseg.networks import Checkpoint

Fold = Annotated[
    int | None,
    typer.Option("--fold", metavar="K", min=1, help="The fold of a cross-validation by patient that is held out."),
]
Folds = Annotated[
    int, typer.Option("--folds", metavar="N", min=2, help="How many folds; a patient is never in two of them.")
]


def taught_by(trained: Checkpoint, patients: Collection[str], *, recorded: bool = True) -> list[str]:
    """Return those of some patients whom a checkpoint or one it comes from has seen, as far as its card tells.

    Parameters
    ----------
    trained
        The checkpoint.
    patients
        By their names in ``cases.json``.
    recorded
        Whether those count whom only its record of slices knows.
    """
    from napari_covseg.io.pseudonyms import is_among

    known = trained.card.named_patients | (trained.card.recorded_patients if recorded else frozenset())
    return sorted(patient for patient in patients if is_among(patient, known))


def parsed_fold(
    cases: Sequence[Case], fold: int | None, folds: int, other: str, patients: Sequence[str] | None
) -> frozenset[str]:
    """Return the patients of a fold, or those that were named instead.

    Raises
    ------
    typer.BadParameter
        If both are given, or there is no such fold.
    """
    from napari_covseg.training.folds import held_out

    if fold is None:
        return frozenset(patients or ())
    if patients:
        raise typer.BadParameter(f"a fold says which patients; leave out {other}.", param_hint="'--fold'")
    if fold > folds:
        raise typer.BadParameter(f"there is no fold {fold} of {folds}.", param_hint="'--fold'")
    return held_out(cases, fold, folds)
