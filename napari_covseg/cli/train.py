"""``covseg train``: from annotated cases to a checkpoint."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import followed, say, table
from napari_covseg.cli.options import CheckpointFile, Device, Network, OnDevice
from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.networks import Checkpoint


class Width(StrEnum):
    """How wide the network is."""

    compact = "compact"
    paper = "paper"


class Scheme(StrEnum):
    """Which classes it learns."""

    paper = "paper"
    lesions = "lesions"


LESION_CLASSES = ("ggo", "consolidation", "effusion")


@verb("covseg train --network res_att_unet --cases cases/ --out my.safetensors --width compact --minutes 60")
def train(
    network: Network,
    cases: Annotated[list[Path], typer.Option("--cases", metavar="DIR", help="Folders of annotated cases.")],
    out: CheckpointFile,
    width: Annotated[Width, typer.Option("--width", help="The paper's width, or one for laptops.")] = Width.paper,
    scheme: Annotated[
        Scheme, typer.Option("--scheme", help="The paper's classes, or ggo, consolidation and effusion.")
    ] = Scheme.paper,
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Optimiser steps.")] = 2000,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Slices per step.")] = 4,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", metavar="X", help="Peak of the schedule.", min=1e-9)
    ] = 1.5e-3,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same run.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier call stopped.")] = False,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="N", min=0.01, help="Stop in time, ready to be resumed.")
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option("--hold-out", metavar="PATIENT", help="Keep a patient for measuring; may be repeated."),
    ] = None,
    device: OnDevice = Device.auto,
) -> Answer:
    """Train a network from scratch on annotated cases, and measure it on patients that were held out."""
    from napari_covseg.io.cases import find_cases
    from napari_covseg.networks import load
    from napari_covseg.training.loop import TrainingConfig
    from napari_covseg.training.train import TrainingRequest
    from napari_covseg.training.train import train as training

    found = find_cases(cases)
    state_file = out.with_name(out.name + ".state")
    if resume and not state_file.exists():
        say(f"There is no {state_file} to resume from; starting at the first step.")
    request = TrainingRequest(
        network=network,
        out=out,
        config=TrainingConfig(steps=steps, batch=batch, learning_rate=learning_rate, seed=seed),
        width=width.value,
        scheme=load(network).scheme if scheme is Scheme.paper else LESION_CLASSES,
        held_out=frozenset(hold_out or ()),
        device=device,
        minutes=minutes,
        resume=resume,
    )
    kept = followed(training(request, found), f"Training {network}")
    return _unfinished(out, state_file, minutes) if kept is None else _finished(kept)


def _finished(kept: Checkpoint) -> Answer:
    values = {
        "finished": True,
        "checkpoint": str(kept.path),
        "name": kept.name,
        "sha256": kept.sha256,
        "width": kept.card.width,
        "scheme": list(kept.card.scheme),
        "trained_on": kept.card.trained_on,
        "metrics": dict(kept.card.metrics),
    }
    measured: dict[str, Any] = kept.card.metrics.get("held_out_pooled", {})
    if not measured:
        return Answer(values, f"{kept.path}: trained on {kept.card.trained_on}.")
    shown = table("class", ">Dice on held-out patients")
    shown.title = str(kept.path)
    for name, dice in measured.items():
        shown.add_row(name.removeprefix("dice_"), f"{dice:.3f}")
    return Answer(values, shown)


def _unfinished(out: Path, state_file: Path, minutes: float | None) -> Answer:
    words = f"{minutes:g} minutes are over and {out} is not finished; the same command with --resume goes on."
    return Answer({"finished": False, "checkpoint": None, "state": str(state_file)}, words)
