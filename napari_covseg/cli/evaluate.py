"""``covseg evaluate``: networks against annotated cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_covseg.cli.console import followed, say
from napari_covseg.cli.figures import figures, shown
from napari_covseg.cli.folds import Fold, Folds, parsed_fold, taught_by
from napari_covseg.cli.options import Device, OnDevice, known_network_or_all
from napari_covseg.cli.verb import Answer, verb
from napari_covseg.io.sentences import count

if TYPE_CHECKING:
    from napari_covseg.io.case_doubts import Doubts
    from napari_covseg.io.cases import Case
    from napari_covseg.networks import Checkpoint
    from napari_covseg.training.evaluation import Evaluation
    from napari_covseg.training.seen_before import Origins

MOST_NAMED = 10
"""Of cases that taught; the patients that did are told too."""

Networks = Annotated[
    list[str],
    typer.Option(
        "--network",
        metavar="KEY[,KEY…]",
        callback=lambda given: [known_network_or_all(key) for key in _split(given)],
        help="One or more networks, or all of them voting together; 'covseg networks' lists them.",
    ),
]
Folders = Annotated[list[Path], typer.Option("--cases", metavar="DIR", help="Folders of annotated cases, or packs.")]
Checkpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoint",
        metavar="NAME|FILE",
        help="Trained weights, by name or file, one per network in the same order; by default the program's own.",
    ),
]
Patients = Annotated[
    list[str] | None,
    typer.Option("--patients", metavar="A[,B…]", help="Only cases of these patients, as cases.json names them."),
]


@verb("covseg evaluate --network res_att_unet --cases cases/ --patients c07,m1 --per-case")
def evaluate(
    network: Networks,
    cases: Folders,
    checkpoint: Checkpoints = None,
    patients: Patients = None,
    fold: Fold = None,
    folds: Folds = 3,
    per_case: Annotated[bool, typer.Option("--per-case", help="Also show every case.")] = False,
    device: OnDevice = Device.auto,
) -> Answer:
    """Compare what networks propose with annotated cases: Dice and its kin, distances, three kinds of average.

    A class is scored only on cases where it was annotated, and only where the network knows it.
    """
    from napari_covseg.io.case_doubts import Doubts
    from napari_covseg.training.seen_before import Origins

    trained = _trained(network, _split(checkpoint or []))
    found = _wanted(cases, _split(patients or []), fold, folds)
    each_once = {member.sha256: member for members in trained for member in members}.values()
    for one in each_once:
        _warn_of_taught(one, found)
    origins, doubts = Origins(), Doubts()
    evaluations = [_evaluated(one, found, device, origins, doubts) for one in trained]
    for each in evaluations:
        if not each.names:
            known = ", ".join(each.checkpoint.card.scheme)
            say(f"{each.checkpoint.name} knows {known}, and none of that is annotated here; nothing was scored.")
    for one in each_once:
        _tell_what_taught(one, origins)
    pictures = any(case.is_picture for case in found)
    answer = shown(evaluations, per_case=per_case, pixels_for_mm=pictures)
    return Answer(figures(evaluations), answer, done=all(each.names for each in evaluations))


def _split(given: Sequence[str]) -> list[str]:
    """Return what was given, several times or with commas."""
    return [word.strip() for text in given for word in text.split(",") if word.strip()]


def _trained(networks: Sequence[str], names: Sequence[str]) -> list[tuple[Checkpoint, ...]]:
    from napari_covseg.inference import members_of

    if names and len(names) != len(networks):
        raise typer.BadParameter(
            f"networks: {len(networks)}, checkpoints: {len(names)}; give one checkpoint per network, in that order.",
            param_hint="'--checkpoint'",
        )
    if not names:
        return [members_of(key) for key in networks]
    return [members_of(key, name) for key, name in zip(networks, names, strict=True)]


def _wanted(folders: Sequence[Path], named: Sequence[str], fold: int | None, folds: int) -> list[Case]:
    """Return the cases, of some patients or those of a fold only.

    Raises
    ------
    ValueError
        If a patient has none.
    """
    from napari_covseg.io.cases import find_cases

    cases = find_cases(folders, say)
    patients = parsed_fold(cases, fold, folds, "--patients", named)
    missing = patients - {case.patient for case in cases}
    if missing:
        raise ValueError(f"No case is of patient {', '.join(sorted(missing))}; cases.json names the patients.")
    return [case for case in cases if not patients or case.patient in patients]


def _evaluated(
    trained: Sequence[Checkpoint], cases: Sequence[Case], device: str, origins: Origins, doubts: Doubts
) -> Evaluation:
    from napari_covseg.inference import woken
    from napari_covseg.training.evaluation import evaluated

    segmenter = woken(trained, device)
    return followed(evaluated(segmenter, cases, origins.note, doubts), f"Evaluating {segmenter.checkpoint.name}")


def _warn_of_taught(trained: Checkpoint, cases: Sequence[Case]) -> None:
    """Say which patients a checkpoint or one it comes from has seen before, and where its card does not name all."""
    if known := taught_by(trained, {case.patient for case in cases}):
        say(f"{trained.name} was trained on {', '.join(known)}; what it scores there says little of new patients.")
    if trained.card.patients is None:
        among = "others here" if known else "some here"
        say(f"{trained.name} does not name all patients who taught it: {among} may be among them.")


def _tell_what_taught(trained: Checkpoint, origins: Origins) -> None:
    """Say which of the cases hold slices that taught a checkpoint, whatever they are called, or that nobody knows."""
    if taught := origins.that_taught(trained):
        hold = f"{count(len(taught), 'case')} {'holds' if len(taught) == 1 else 'hold'} slices that taught it"
        names = ", ".join(case.name for case in taught[:MOST_NAMED]) + (" …" if len(taught) > MOST_NAMED else "")
        say(f"{trained.name}: {hold}: {names}; what it scores there says little of new patients.")
    elif not trained.card.learned:
        say(f"{trained.name} does not record which slices taught it: scans that did are known by their patients alone.")
