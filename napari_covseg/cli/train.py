"""``covseg train``: from annotated cases to a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_covseg.cli.console import followed, say, table
from napari_covseg.cli.folds import Fold, Folds, parsed_fold, taught_by
from napari_covseg.cli.options import CheckpointFile, Device, Network, OnDevice, finite
from napari_covseg.cli.verb import GOES_ON, Answer, verb

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


class HowTrained(StrEnum):
    """Which settings it is trained with."""

    shipped = "shipped"
    paper = "paper"


LESION_CLASSES = ("ggo", "consolidation", "effusion")


@verb("covseg train --network res_att_unet --cases cases/ --out my.safetensors --width compact --minutes 60")
def train(
    network: Network,
    cases: Annotated[list[Path], typer.Option("--cases", metavar="DIR", help="Folders of annotated cases, or packs.")],
    out: CheckpointFile,
    width: Annotated[Width, typer.Option("--width", help="The paper's width, or one for laptops.")] = Width.paper,
    scheme: Annotated[
        Scheme, typer.Option("--scheme", help="The paper's classes, or ggo, consolidation and effusion.")
    ] = Scheme.paper,
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Optimiser steps.")] = 2000,
    recipe: Annotated[
        HowTrained, typer.Option("--recipe", help="Loss, rate and augmentation of the shipped weights, or the paper's.")
    ] = HowTrained.shipped,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, help="Samples per part of a step; else the recipe's.")
    ] = None,
    parts: Annotated[
        int, typer.Option("--parts", metavar="N", min=1, help="Parts of a step, shared out by torchrun's processes.")
    ] = 1,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", metavar="X", min=1e-9, callback=finite, help="Peak rate; else the recipe's."),
    ] = None,
    parent: Annotated[
        Path | None, typer.Option("--from", metavar="CHECKPOINT", help="Start from these weights.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same run.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier call stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a checkpoint that is there already.")] = False,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="N", min=0.01, help="Stop in time, ready to be resumed.")
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            "--hold-out",
            metavar="PATIENT",
            help="Keep a patient for choosing the best step and for measuring; may be repeated.",
        ),
    ] = None,
    fold: Fold = None,
    folds: Folds = 3,
    patience: Annotated[
        int | None,
        typer.Option(
            "--patience",
            metavar="N",
            min=0,
            help="Stop after N of the 20 checks on held-out patients bring nothing better; 0 never; else the recipe's.",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="DIR", file_okay=False, help="Write losses and rates there for TensorBoard."),
    ] = None,
    device: OnDevice = Device.auto,
) -> Answer:
    """Train a network from scratch on annotated cases, and measure it on patients that were held out."""
    from napari_covseg.io.cases import find_cases
    from napari_covseg.networks import load
    from napari_covseg.networks.checkpoint import find
    from napari_covseg.training.recipes import training_config
    from napari_covseg.training.taking_up import TakenError
    from napari_covseg.training.train import TrainingRequest
    from napari_covseg.training.train import train as training

    found = find_cases(cases, say)
    spec = load(network)
    trained = find(network, parent) if parent else None
    outside = parsed_fold(found, fold, folds, "--hold-out", hold_out)
    if trained is not None and (known := taught_by(trained, outside)):
        say(f"{trained.name} was trained on {', '.join(known)}; held out now, they say little of new patients.")
    request = TrainingRequest(
        network=network,
        out=out,
        config=training_config(
            spec,
            recipe.value,
            steps=steps,
            batch=batch,
            learning_rate=learning_rate,
            parts=parts,
            seed=seed,
            patience=patience,
        ),
        width=width.value,
        scheme=spec.scheme if scheme is Scheme.paper else LESION_CLASSES,
        held_out=outside,
        device=device,
        minutes=minutes,
        resume=resume,
        overwrite=overwrite,
        parent=trained,
        log=log,
    )
    try:
        kept = followed(training(request, found), f"Training {network}")
    except KeyboardInterrupt:
        if request.files.hold_any_work:
            say(f"{out} is not finished; {GOES_ON}.")
        raise
    except TakenError as error:
        raise ValueError(f"{str(error).removesuffix('.')} (--overwrite).") from error
    return _unfinished(out, minutes) if kept is None else replace(_finished(kept), done=kept.path == out)


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
    measured: dict[str, float] = kept.card.metrics.get("held_out_pooled", {})
    if not measured:
        return Answer(values, f"{kept.path}: trained on {kept.card.trained_on}.")
    shown = table("class", ">Dice on held-out patients")
    shown.title = str(kept.path)
    for name, dice in measured.items():
        shown.add_row(name.removeprefix("dice_"), f"{dice:.3f}")
    return Answer(values, shown)


def _unfinished(out: Path, minutes: float | None) -> Answer:
    words = f"{round(minutes or 0, 2):g} minutes are over and {out} is not finished; {GOES_ON}."
    return Answer({"finished": False, "checkpoint": None}, words)
