"""``covseg finetune``: teach a checkpoint what readers corrected."""

from __future__ import annotations

import getpass
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import followed, say, table
from napari_covseg.cli.folds import taught_by
from napari_covseg.cli.options import CheckpointName, ChildNameOrFile, Device, Network, OnDevice, finite, is_name_alone
from napari_covseg.cli.verb import GOES_ON, Answer, verb
from napari_covseg.io.sentences import sentence_of
from napari_covseg.jobs import Remark, passed_on

if TYPE_CHECKING:
    from napari_covseg.networks import Checkpoint
    from napari_covseg.training.lesson import Lesson


@verb("covseg finetune --network res_att_unet --session sessions/case-1a2b3c4d --out mine --replay cases/")
def finetune(
    network: Network,
    session: Annotated[
        list[Path],
        typer.Option(
            "--session", metavar="DIR", help="Review sessions, or folders that 'covseg export --to bundle' wrote."
        ),
    ],
    out: ChildNameOrFile,
    checkpoint: CheckpointName = None,
    replay: Annotated[
        list[Path] | None,
        typer.Option(
            "--replay",
            metavar="DIR",
            help="Folders of annotated cases, or packs, to rehearse and be tested on before and after; by default the "
            "bundled sample.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", min=1, help="Optimiser steps.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same run.")] = 0,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="N", min=0.01, help="Learn for at most N minutes and keep the best."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with this run where it was killed.")] = False,
    distil: Annotated[
        float,
        typer.Option(
            "--distil", metavar="X", min=0, callback=finite, help="Weight of what the parent says on unlabelled slices."
        ),
    ] = 0.3,
    pull: Annotated[
        float,
        typer.Option(
            "--pull", metavar="X", min=0, callback=finite, help="Weight of the distance to the parent's weights (L2)."
        ),
    ] = 0.0,
    way: Annotated[
        float,
        typer.Option(
            "--way", metavar="SHARE", min=0.05, max=1, help="How far to go from the parent's weights, 1 for all."
        ),
    ] = 0.5,
    freeze_encoder: Annotated[bool, typer.Option("--freeze-encoder", help="Learn only what decides.")] = False,
    freeze_batch_norm: Annotated[
        bool,
        typer.Option(
            "--freeze-batch-norm", help="Keep the statistics of batch norms, as by default for up to 32 slices."
        ),
    ] = False,
    learn_batch_norm: Annotated[
        bool,
        typer.Option("--learn-batch-norm", help="Learn the statistics of batch norms, as by default for more slices."),
    ] = False,
    margin: Annotated[
        float,
        typer.Option(
            "--margin",
            metavar="X",
            min=0,
            callback=finite,
            help="By how much Dice may fall on older cases, of any lesion and on average; of one class thrice that.",
        ),
    ] = 0.01,
    overrule: Annotated[
        str | None,
        typer.Option(
            "--overrule", metavar="REASON", help="Promote it even where the gate does not; the reason is then kept."
        ),
    ] = None,
    device: OnDevice = Device.auto,
) -> Answer:
    """Fine-tune a checkpoint on the reviewed slices of sessions, and only on those; a gate judges what came of it."""
    from napari_covseg.io.cases import find_cases
    from napari_covseg.networks import lineage, load
    from napari_covseg.networks.checkpoint import find, named_path
    from napari_covseg.training.finetune import finetuned
    from napari_covseg.training.finetune_request import FineTuning, short_run, steps_for
    from napari_covseg.training.keeping import Keeping
    from napari_covseg.training.lesson import joined

    if overrule is not None and not overrule.strip():
        raise ValueError("Say after --overrule in a few words why; the reason is kept with the decision.")
    child_file = named_path(out) if is_name_alone(out) else Path(out)
    norms_stay = _either(freeze_batch_norm, learn_batch_norm)
    parent = find(network, checkpoint)
    older = find_cases(replay, say) if replay else None
    lessons = _each_once(session, parent)
    slices = sum(len(lesson.reviewed) for lesson in joined([lesson for lesson in lessons if lesson.reviewed]))
    asked = FineTuning(
        parent,
        lessons,
        child_file,
        short_run(load(network), steps or steps_for(slices), seed),
        Keeping(True, distil, pull, freeze_encoder, norms_stay, way),
        replay=older,
        margin=margin,
        device=device,
        resume=resume,
    )
    deadline_s = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    try:
        job = passed_on(finetuned(asked, lambda: time.monotonic() > deadline_s), _with_dealt)
        child = followed(job, f"Fine-tuning {parent.name}")
    except KeyboardInterrupt:
        if asked.files.hold_any_work:
            say(f"{out} is not finished; {GOES_ON}.")
        raise
    except OSError as error:
        if asked.files.hold_any_work and asked.can_go_on:
            raise OSError(f"{sentence_of(error, '')} What it learned is kept; --resume goes on with it.") from error
        raise
    unkept: OSError | None = None
    if overrule is not None and not lineage.is_promoted(child):
        try:
            lineage.overrule(child, getpass.getuser(), overrule)
        except OSError as error:  # the verdict took minutes, and is told all the same
            unkept = error
    answer = _answer(parent, child, slices)
    if unkept:
        say(f"It was not promoted against its gate: the reason could not be kept. {sentence_of(unkept, '')}")
    return replace(answer, done=not unkept and child.path == child_file)


def _with_dealt(step: Any) -> tuple[Any, ...]:
    """Tell how many slices will judge what is learned, or why none will, as soon as that is known."""
    from napari_covseg.training.neighbourhoods import Dealt

    if not isinstance(step, Dealt):
        return (step,)
    judge = f"{step.held_out} judge" if step.held_out else f"none judges: {step.nobody}"
    between = f"; {step.left_out} between are left out" if step.left_out else ""
    return step, Remark(f"Of the reviewed slices {step.taught} teach, {judge}{between}.")


def _either(freeze_batch_norm: bool, learn_batch_norm: bool) -> bool | None:
    """Return whether batch norms stay, None where neither is asked for; both at once are wrong use."""
    if freeze_batch_norm and learn_batch_norm:
        raise typer.BadParameter("--freeze-batch-norm and --learn-batch-norm exclude each other; give one of them.")
    return freeze_batch_norm if freeze_batch_norm or learn_batch_norm else None


def _each_once(sessions: list[Path], parent: Checkpoint) -> tuple[Lesson, ...]:
    """Return what sessions have to teach; one that teaches the same as another is said and left out."""
    lessons: dict[str, Lesson] = {}
    for folder in sessions:
        for lesson in _lessons(folder, parent):
            if lessons.setdefault(lesson.sha256, lesson) is not lesson:
                say(f"What {folder} teaches of {lesson.scan.name} was given already; it counts once.")
    return tuple(lessons.values())


def _lessons(folder: Path, parent: Checkpoint) -> list[Lesson]:
    """Return what a session, or a folder of cases, has to teach; doubts, and patients that the parent saw, are said.

    Raises
    ------
    ValueError
        If it is neither.
    """
    from napari_covseg.io.case_doubts import Doubts
    from napari_covseg.io.cases import find_cases
    from napari_covseg.review.recovery import FILE_NAME
    from napari_covseg.training.lesson import lesson_of_case

    if (folder / FILE_NAME).exists() or not (folder / "cases.json").exists():
        return [_of_session(folder)]
    cases = find_cases([folder], say)
    if known := taught_by(parent, {case.patient for case in cases}, recorded=False):
        say(f"{parent.name} was trained on {', '.join(known)}; what is judged on their slices flatters both.")
    lessons, doubts = [lesson_of_case(case) for case in cases], Doubts()
    for case, lesson in zip(cases, lessons, strict=True):
        for remark in doubts.about(case, lesson.scan, lesson.labels):
            say(remark.words)
    for remark in doubts.about_the_others():
        say(remark.words)
    return lessons


def _of_session(folder: Path) -> Lesson:
    """Return what a session has to teach, with its scan read again.

    Raises
    ------
    ValueError
        If the scan is not where it was, nor near there, or is another one by now.
    """
    from napari_covseg.cli.sessions import resumed, scan_of
    from napari_covseg.io.pseudonyms import key_to_learn_with, patient_of
    from napari_covseg.training.lesson import Lesson
    from napari_covseg.volume import reoriented
    from napari_covseg.workbench import snapshot

    with resumed(folder) as session:
        _, scan = scan_of(session)
        patients = frozenset({patient_of(scan, session.scan_sha256, key_to_learn_with())})
        return Lesson(reoriented(scan), snapshot(session), session.reviewed, session.scan_sha256, patients=patients)


def _answer(parent: Checkpoint, child: Checkpoint, slices: int) -> Answer:
    from napari_covseg.networks import lineage

    gate = lineage.verdict_of(child)
    promoted = lineage.is_promoted(child)
    values: dict[str, Any] = {
        "checkpoint": str(child.path),
        "name": child.name,
        "sha256": child.sha256,
        "parent": {"name": parent.name, "sha256": parent.sha256},
        "slices": slices,
        "promoted": promoted,
        "gate": dict(gate),
        "metrics": dict(child.card.metrics),
    }
    say(gate["words"])
    if not gate["promoted"]:
        held_back = "It is kept, marked as not promoted; 'covseg overrule' promotes it, with a reason."
        say("It is kept, promoted against its gate." if promoted else held_back)
    shown = table("on", "class", ">Dice before", ">after", ">gain, 95 %", ">HD95 mm", ">after", ">mL off", ">after")
    shown.title = f"{child.name}: {'promoted' if promoted else 'not promoted'}"
    older = "bundled sample" if child.card.metrics["replay"] == lineage.SYNTHETIC_SAMPLE else "older cases"
    for on, rows in (("held-out slices", gate["held_out"]), (older, gate["replay"])):
        for row in rows:
            shown.add_row(on, row["name"], *_cells(row))
    for name, dice in child.card.metrics["on_the_learned_slices"]["after"].items():
        before = child.card.metrics["on_the_learned_slices"]["before"].get(name)
        shown.add_row("learned slices", name.removeprefix("dice_"), _number(before), _number(dice), *["–"] * 5)
    return Answer(values, shown)


def _cells(row: dict[str, Any]) -> list[str]:
    gain = "–" if row["gain_low"] is None else f"{row['gain_low']:+.3f} … {row['gain_high']:+.3f}"
    dice = [_number(row[f"dice_{when}"]) for when in ("before", "after")]
    columns = (("hd95_mm", 1), ("ml_error", 2))
    others = [_number(row[f"{what}_{when}"], decimals) for what, decimals in columns for when in ("before", "after")]
    return [*dice, gain, *others]


def _number(value: float | None, decimals: int = 3) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
