"""What a fine-tuned child says about itself: whom it came from, what it learned, and with which settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version

from napari_covseg.io.pseudonyms import PSEUDONYM, key_to_learn_with, pseudonym
from napari_covseg.io.sentences import count
from napari_covseg.networks import Card, Checkpoint, lineage
from napari_covseg.networks.card import told_of_patients
from napari_covseg.networks.learned import Learned, Places, Record, learned_by, merged
from napari_covseg.training.done import Done
from napari_covseg.training.finetune_request import FineTuning
from napari_covseg.training.lesson import Lesson
from napari_covseg.training.made import command_of, commit
from napari_covseg.training.neighbourhoods import Split, patients_of
from napari_covseg.training.train import TERMS

UNJUDGED = {"promoted": False, "judged": False, "words": "It was not judged."}


def card_of(
    request: FineTuning,
    lessons: Sequence[Lesson],
    dealt: Sequence[Split],
    rehearsed: Record,
    done: Done,
    device: str,
) -> Card:
    """Return what the child says about itself before it is judged.

    Parameters
    ----------
    request
        What was asked.
    lessons, dealt
        What there was to learn, and which of its slices taught and which judge.
    rehearsed
        What the older cases showed it.
    done
        Who taught: its settings stand in the card, which are smaller than those asked for where memory ran out.
    device
        Where it learned if no step was done.
    """
    parent, given = request.parent.card, [lesson for lesson in request.lessons if lesson.reviewed]
    stays = request.keeping.batch_norm_stays(sum(len(part.taught) for part in dealt))
    asked = replace(request.config, freeze_batch_norm=stays)
    used, where = (done.last.config, done.last.device) if done.last else (asked, device)
    counts = {name: sum(len(getattr(part, name)) for part in dealt) for name in ("taught", "held_out", "left_out")}
    return Card(
        network=parent.network,
        width=parent.width,
        scheme=parent.scheme,
        trained_on=f"{_told_of(counts['taught'], len(given))}; before that, {_told_before(request.parent)}",
        terms=parent.terms or TERMS,
        parent_sha256=request.parent.sha256,
        sessions_sha256=tuple(lesson.sha256 for lesson in given),
        scans_sha256=tuple(lesson.scan_sha256 for lesson in given),
        config={
            **asdict(used),
            "keeping": asdict(request.keeping),
            "slices": counts,
            "taught_slices": _by_scan(lessons, dealt, "taught"),
            "held_out_slices": _by_scan(lessons, dealt, "held_out"),
            "done": {**done.figures(), "device": where},
            lineage.COPIED_UTC: request.copied_utc.isoformat(),
        },
        metrics={"gate": UNJUDGED},
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=version("napari-covseg"),
        command=_command(request),
        commit=commit(),
        learned=_learned(request, lessons, dealt, rehearsed),
    )


def _command(request: FineTuning) -> str:
    """Return the command that makes the child again.

    It names no file, which may be called as a patient is; the fingerprints in the card tell which they were.
    """
    config, keeping, stays = request.config, request.keeping, request.keeping.freeze_batch_norm
    options: list[tuple[str, object]] = [
        ("network", request.parent.card.network),
        ("checkpoint", request.parent.name if request.parent.is_shipped else "PARENT"),
        *(("session", f"SESSION_{place}") for place in range(1, len(request.lessons) + 1)),
        ("replay", "CASES" if request.replay else None),
        *(("steps", config.steps), ("seed", config.seed), ("margin", request.margin)),
        *(("distil", keeping.distil), ("pull", keeping.pull), ("way", keeping.way)),
        ("freeze-encoder", keeping.freeze_encoder),
        *(("freeze-batch-norm", stays is True), ("learn-batch-norm", stays is False)),
        ("out", "CHILD.safetensors"),
    ]
    return command_of("finetune", options)


def _by_scan(lessons: Sequence[Lesson], dealt: Sequence[Split], name: str) -> dict[str, list[int]]:
    """Return the numbers of slices, from 1 at the apex, by the fingerprint of their scan's voxels."""
    return {
        lesson.scan.voxels_sha256: [index + 1 for index in getattr(part, name)]
        for lesson, part in zip(lessons, dealt, strict=True)
    }


def _learned(
    request: FineTuning, lessons: Sequence[Lesson], dealt: Sequence[Split], rehearsed: Record
) -> dict[str, Learned]:
    """Return what the child and those before it have seen of every scan."""
    before = learned_by(request.parent.card)
    own = {
        one.scan.voxels_sha256: Learned.of(part.taught, part.held_out, one.scan.slices_sha256).in_patient(
            patients, Places.of(one.scan.geometry)
        )
        for one, part, patients in zip(lessons, dealt, patients_of(lessons, before), strict=True)
    }
    return merged(before, own, rehearsed if request.keeping.replay else {})


def _told_before(parent: Checkpoint) -> str:
    """Return who taught the parent and those before it.

    Names of weights that ship are public, and those that a fine-tuned parent tells were made safe for it. Others may be
    those of patients, and a checkpoint is handed on.
    """
    card, names = parent.card, parent.card.named_patients
    if names and not parent.is_shipped and not card.sessions_sha256:
        key = key_to_learn_with()
        names = frozenset(name if PSEUDONYM.fullmatch(name) else pseudonym("patient", name, key) for name in names)
    return told_of_patients(names, are_all=card.patients is not None)


def _told_of(slices: int, sessions: int) -> str:
    return f"{count(slices, 'reviewed slice')} of {count(sessions, 'session')}"
