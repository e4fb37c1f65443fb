"""``covseg finetune``: teach a checkpoint what readers corrected."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import followed, table
from napari_covseg.cli.options import CheckpointFile, CheckpointName, Device, Network, OnDevice
from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.networks import Checkpoint
    from napari_covseg.training.finetune import Lesson


@verb("covseg finetune --network res_att_unet --session sessions/case-1a2b3c4d --out mine.safetensors")
def finetune(
    network: Network,
    session: Annotated[list[Path], typer.Option("--session", metavar="DIR", help="Review sessions to learn from.")],
    out: CheckpointFile,
    checkpoint: CheckpointName = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Optimiser steps.")] = 40,
    device: OnDevice = Device.auto,
) -> Answer:
    """Fine-tune a checkpoint on the reviewed slices of sessions, and only on those."""
    from napari_covseg.networks import load
    from napari_covseg.networks.checkpoint import find
    from napari_covseg.training.finetune import finetuned, short_run

    parent = find(network, checkpoint)
    lessons = [_lesson(folder) for folder in session]
    job = finetuned(parent, lessons, out, config=short_run(load(network), steps), device=device)
    child = followed(job, f"Fine-tuning {parent.name}")
    return _answer(parent, child, sum(len(lesson.reviewed) for lesson in lessons))


def _lesson(folder: Path) -> Lesson:
    """Return what a session has to teach, with its scan read again.

    Raises
    ------
    ValueError
        If the scan is not where it was, nor near there, or is another one by now.
    """
    from napari_covseg.io.stated import kept_in
    from napari_covseg.review import ReviewSession
    from napari_covseg.review.session_facts import ONLY_LOOKED_AT
    from napari_covseg.review.whereabouts import scan_found
    from napari_covseg.training.finetune import Lesson
    from napari_covseg.volume import reoriented
    from napari_covseg.workbench import snapshot

    session = ReviewSession.resume(folder, getpass.getuser(), read_only=ONLY_LOOKED_AT)
    try:
        job = scan_found(session.scan_path, session.scan_sha256, kept_in(folder))
        _, scan = followed(job, f"Looking for the scan of {folder.name}")
        return Lesson(reoriented(scan), snapshot(session), session.reviewed, session.scan_sha256)
    finally:
        session.close()


def _answer(parent: Checkpoint, child: Checkpoint, slices: int) -> Answer:
    values: dict[str, Any] = {
        "checkpoint": str(child.path),
        "name": child.name,
        "sha256": child.sha256,
        "parent": {"name": parent.name, "sha256": parent.sha256},
        "slices": slices,
        "metrics": dict(child.card.metrics),
    }
    measured = child.card.metrics["on_the_learned_slices"]
    shown = table("class", ">Dice before", ">after")
    shown.title = f"{child.path}: {slices} reviewed slices learned"
    for name in sorted(measured["before"].keys() | measured["after"].keys()):
        dice = [measured[when].get(name) for when in ("before", "after")]
        shown.add_row(name.removeprefix("dice_"), *("–" if value is None else f"{value:.3f}" for value in dice))
    return Answer(values, shown)
