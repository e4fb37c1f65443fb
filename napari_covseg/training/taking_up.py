"""Whether a training begins, goes on, has only its measurement left, or is finished already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_covseg.io.case_sums import contents_sha256
from napari_covseg.io.cases import Case
from napari_covseg.jobs import Job, LeftError, Remark
from napari_covseg.networks import Card, Checkpoint, checkpoint
from napari_covseg.networks.card import told_of_patients
from napari_covseg.networks.lineage import cases_sha256
from napari_covseg.training.processes import Processes

if TYPE_CHECKING:
    from napari_covseg.training.train import TrainingRequest

CASES_KEY = "cases_sha256"
"""Under which a card's settings tell apart trainings on other cases of the same patients."""

CONTENTS_KEY = "contents_sha256"
"""Under which a card's settings, and a training that is under way, tell apart other files of the same names."""

OF_THE_CALL = ("held_out", "seconds_last_call", CASES_KEY, CONTENTS_KEY)
"""What a card's settings hold beside those of the loop."""

REMEDY = "choose another name, or have it replaced"


class TakenError(ValueError):
    """A finished file has the name that was asked for, and is kept; whoever asks knows how to have it replaced."""


def taken_up(request: TrainingRequest, taught: Sequence[Case]) -> Job[Checkpoint | None]:
    """Return the checkpoint that an earlier call of this training saved; else say which training this is, and None.

    Raises
    ------
    TakenError
        If a file is there that may not be overwritten.
    ValueError
        If what an earlier call left beside it was about other cases, patients, classes or another network: who is held
        out now may have been taught by then.
    """
    processes = Processes.here()
    saved = _saved(request, taught)
    goes_on = request.resume and request.files.hold_any_work
    processes.wait()  # all have looked before any of them writes
    if saved is not None:
        left = "" if is_measured(saved, request) else "; what is left is to measure it on the patients held out"
        yield Remark(f"{request.out} is trained already{left}.")
        return saved
    if not request.resume:
        request.files.forget()
    elif not goes_on:
        yield Remark(f"There is nothing beside {request.out} to resume from; starting at the first step.")
    processes.wait()
    if processes.first:
        request.files.begin(about(request, taught))
    return None


def is_measured(saved: Checkpoint, request: TrainingRequest) -> bool:
    """Whether a checkpoint tells what it is worth on the patients held out, where there are any."""
    return not request.held_out or "held_out" in saved.card.metrics


def about(request: TrainingRequest, taught: Sequence[Case]) -> dict[str, Any]:
    """Return what must be the same for a training to go on, its settings aside."""
    return {
        "network": request.network,
        "width": request.width,
        "scheme": list(request.scheme),
        "parent_sha256": request.parent.sha256 if request.parent else "",
        "held_out": sorted(request.held_out),
        "taught": sorted([case.patient, case.name] for case in taught),
        CONTENTS_KEY: contents(taught),
    }


def patients_of(request: TrainingRequest, taught: Sequence[Case]) -> str:
    """Return who will have taught the network, ancestors included, as a card tells it."""
    names, before = {case.patient for case in taught}, request.parent.card if request.parent else None
    if before is None:
        return told_of_patients(names)
    return told_of_patients(names | before.named_patients, are_all=before.patients is not None)


def fingerprint(taught: Sequence[Case]) -> str:
    """Return what tells these cases from others of the same patients."""
    return cases_sha256(f"{case.patient}/{case.name}" for case in taught)[:16]


def contents(taught: Sequence[Case]) -> str:
    """Return what tells the files of these cases from others of the same names, in whichever order they are given."""
    return contents_sha256(sorted(taught, key=lambda case: (case.patient, case.name)))[:16]


def _saved(request: TrainingRequest, taught: Sequence[Case]) -> Checkpoint | None:
    """Return what an earlier call of this training saved, or None where there is none, or it may be replaced."""
    if not request.resume:
        if request.out.exists() and not request.overwrite:
            raise TakenError(f"{request.out} is there already; {REMEDY}.")
        return None
    if not _is_left(request, taught):
        raise LeftError(
            f"What lies beside {request.out.name} belongs to a training of another network, or on other cases, "
            "files or patients; give the same, or start anew."
        )
    if not request.out.exists() or request.files.have_yet_to_replace_it:
        return None
    try:
        there = checkpoint.read(request.out)
        if _is_of(there.card, request, taught):
            return there
    except ValueError:  # damaged, or no checkpoint
        if not request.overwrite:
            raise
    if not request.overwrite:
        raise TakenError(f"{request.out} is there already and is of another training; {REMEDY}.")
    return None


def _is_left(request: TrainingRequest, taught: Sequence[Case]) -> bool:
    """Whether what lies beside the file is of this training; an earlier build kept of the cases their names alone."""
    asked = about(request, taught)
    by_name = {key: value for key, value in asked.items() if key != CONTENTS_KEY}
    return request.files.is_about(asked) or request.files.is_about(by_name)


def _is_of(card: Card, request: TrainingRequest, taught: Sequence[Case]) -> bool:
    """Whether a card is of this training, as far as it tells: older ones do not tell the cases, only the patients."""
    settings = {name: value for name, value in card.config.items() if name not in OF_THE_CALL}
    asked = about(request, taught)
    ours = (request.network, request.width, request.scheme, asked["parent_sha256"], patients_of(request, taught))
    return (
        (card.network, card.width, card.scheme, card.parent_sha256, card.trained_on) == ours
        and card.config.get("held_out") == asked["held_out"]
        and card.config.get(CASES_KEY) in (None, fingerprint(taught))
        and card.config.get(CONTENTS_KEY) in (None, asked[CONTENTS_KEY])
        and request.config.is_as_saved(settings)
    )
