"""Train the weights that ship, in slices of time, and put what is finished where it belongs: ``make weights``.

Each network is trained by the commands of `PARTS`, which this script writes into the model card, on the cases of
`PATIENTS`, all of them and nobody else's: the card says so. Run it again, with more minutes or on a faster machine, and
it goes on where it stopped; a network whose weights were made by just these commands is left alone unless ``--again``.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_card import card_page, cross_validated, measured_part, stamped

from napari_covseg.io.case_listing import MOST_NAMED
from napari_covseg.io.cases import find_cases
from napari_covseg.networks import Card, Checkpoint, available, checkpoint, sums
from napari_covseg.networks.checkpoint import SHIPPED

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "docs" / "models"
WORKING = ROOT / ".cache" / "weights"


@dataclass(frozen=True, slots=True)
class Part:
    """One training of those that make a network's weights: the first starts anew, the others from what the last made.

    Parameters
    ----------
    steps
        Optimiser steps of every stage; a lung stage takes half.
    hold_out
        Patients on whom it is measured, and who choose its best step.
    learning_rate
        Other than the recipe's.
    """

    steps: int
    hold_out: tuple[str, ...] = ()
    learning_rate: float | None = None


PATIENTS = frozenset(
    (
        *("c01", "c02", "c03", "c04", "c05", "c06", "c07"),
        *("l002", "l005", "l016", "l018"),
        *("m1", "m2", "m8", "m9"),
        "slices",
    )
)
"""Whose cases the weights that ship are made from, as the project's data calls them (`model_card.DATA`)."""

MEASURED_ON = ("m1", "c07", "l018")

GONE_ON_WITH = 1e-3
"""Peak rate of what goes on: less than the recipe's, lest the first steps undo what is there."""

PARTS: Mapping[str, tuple[Part, ...]] = {
    "masc_net": (Part(4000), Part(1000, learning_rate=GONE_ON_WITH)),
    "covid_segnet": (
        Part(4000, MEASURED_ON),
        Part(1000, learning_rate=GONE_ON_WITH),
        Part(2500, learning_rate=GONE_ON_WITH),
    ),
    "chs_net": (Part(1500, MEASURED_ON), Part(1500, learning_rate=GONE_ON_WITH)),
    "two_stream_segnet": (
        Part(3000, MEASURED_ON),
        Part(2000, learning_rate=GONE_ON_WITH),
        Part(1000, learning_rate=GONE_ON_WITH),
    ),
    "res_att_unet": (Part(1500, MEASURED_ON), Part(1300, learning_rate=GONE_ON_WITH)),
}
"""First measured with some patients held out, then taught by everybody."""

LARGEST_FILE_MB, LARGEST_SUM_MB = 5.0, 25.0


def main() -> int:
    """Train what is asked for, publish what is finished, print the table, and return the exit code."""
    words = _arguments()
    _refuse_other_cases(words.cases)
    WORKING.mkdir(parents=True, exist_ok=True)
    failed = []
    for network in words.networks:
        commands = recorded_commands(network, words.cases)
        if not words.again and _shipped_part(network, commands) == len(commands):
            print(f"{network}: ships as these commands make it; AGAIN=1, or --again, trains it anew")
            continue
        try:
            made = _made(network, commands, words.cases, words.minutes, words.device, again=words.again)
        except subprocess.CalledProcessError:
            failed.append(network)  # it has said why; the others need not wait for it
            continue
        if made is not None:
            publish(made, commands, cross_validated(network))
    print(table())
    print(*(f"{network} failed; see above." for network in failed), sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


def recorded_commands(network: str, cases: list[Path]) -> tuple[str, ...]:
    """Return the commands that make a network's weights, one for each part, with the folders' bare names."""
    commands: list[str] = []
    for number, part in enumerate(PARTS[network], start=1):
        words = ["covseg", "train", "--network", network, "--width", "compact", "--scheme", "lesions"]
        for folder in cases:
            words += ["--cases", folder.name]
        for patient in part.hold_out:
            words += ["--hold-out", patient]
        words += ["--steps", str(part.steps), "--seed", "0"]
        words += ["--from", _out_of(commands[-1])] if commands else []
        words += ["--learning-rate", str(part.learning_rate)] if part.learning_rate else []
        commands.append(
            shlex.join([*words, "--out", f"{network}_compact{f'_{number}' if commands else ''}.safetensors"])
        )
    return tuple(commands)


def publish(made: Path, commands: tuple[str, ...], folds: Mapping[str, Any]) -> None:
    """Move finished weights into the package, stamped with how they were made, and write their card's page.

    Parameters
    ----------
    made
        The weights, beside those of the earlier parts.
    commands
        What made them.
    folds
        What the same recipe is worth in cross-validation, as `cross_validated` has it.

    Raises
    ------
    ValueError
        If the file, or all of them together, would be larger than allowed.
    """
    card = checkpoint.read(made).card
    shipped = SHIPPED / f"{card.network}_compact.safetensors"
    first = made.with_name(_out_of(commands[0]))  # whose held-out patients tell; what ships hands on what they told
    earlier = [file for file in (first, shipped) if file != made and file.exists()]
    before = checkpoint.read(earlier[0]) if earlier else None
    at_hand = (checkpoint.read(file) for file in (*sorted(made.parent.glob("*.safetensors")), shipped) if file.exists())
    parent = next((one for one in at_hand if one.sha256 == card.parent_sha256), None)
    kept = stamped(checkpoint.read(made), commands, folds, before, parent)
    others = [file for file in SHIPPED.glob("*.safetensors") if file.name != shipped.name]
    size_mb = made.stat().st_size / 1e6
    if size_mb > LARGEST_FILE_MB or size_mb + sum(f.stat().st_size for f in others) / 1e6 > LARGEST_SUM_MB:
        raise ValueError(f"{made.name} has {size_mb:.1f} MB; a file may have {LARGEST_FILE_MB}, all {LARGEST_SUM_MB}.")
    page = CARDS / f"{shipped.stem}.md"
    page.write_text(card_page(kept, shipped, page.read_text("utf-8") if page.exists() else ""), "utf-8")
    made.replace(shipped)
    sums.write_list(SHIPPED, "*.safetensors")


def table() -> str:
    """Return what ships, one line per network: its Dice on patients it never saw, and on whom that was measured."""
    lines = []
    for network in available():
        for one in checkpoint.known(network):
            if one.is_shipped:
                dice = one.card.measured_dice
                shown = ", ".join(f"{name.removeprefix('dice_')} {value:.3f}" for name, value in dice.items())
                told = f"Dice {shown} ({_measured_on(one.card)})" if dice else "not measured"
                lines.append(f"{one.name:32} {one.path.stat().st_size / 1e6:4.1f} MB  {told}")
    return "\n".join(lines)


def _measured_on(card: Card) -> str:
    """Return in words what a card's `measured_dice` is of, and on whom."""
    if card.metrics.get("held_out_pooled"):
        return f"on {', '.join(card.metrics['held_out'])}, held out"
    if sibling := card.metrics.get("sibling"):
        return f"of {measured_part(card)}, on {', '.join(sibling['held_out'])}, held out"
    return "of the same recipe, in cross-validation"


def _refuse_other_cases(folders: list[Path]) -> None:
    """Refuse cases of anybody else: what they taught would ship under a card that claims the project's data."""
    try:
        given = {case.patient for case in find_cases(folders, lambda _: None)}  # a training tells what is left out
    except ValueError as error:
        raise SystemExit(str(error)) from error
    others, missing = sorted(given - PATIENTS), sorted(PATIENTS - given)
    wrong = [f"{len(others)} of other patients ({_some(others)})"] if others else []
    wrong += [f"none of {_some(missing)}"] if missing else []
    if wrong:
        raise SystemExit(
            f"This makes the weights that ship, from the project's own {len(PATIENTS)} patients and sets alone, and "
            f"these cases are others: {', '.join(wrong)}; train on your own with 'covseg train'."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (" …" if len(names) > MOST_NAMED else "")


def _shipped_part(network: str, commands: tuple[str, ...]) -> int:
    """Return how many of a network's commands made what ships; 0 where it was made by others."""
    ships = [_in_any_order(one.card.command.splitlines()) for one in checkpoint.known(network) if one.is_shipped]
    meant = _in_any_order(commands)
    return max((number for number in range(1, len(meant) + 1) if meant[:number] in ships), default=0)


def _in_any_order(commands: Sequence[str]) -> list[list[str]]:
    """Return the words of commands, so that those which name the same folders in another order are equal."""
    return [sorted(shlex.split(command)) for command in commands]


def _made(
    network: str, commands: tuple[str, ...], cases: list[Path], minutes: float, device: str, *, again: bool = False
) -> Path | None:
    """Run what is missing of a network's commands for some minutes; return the last one's weights if they are there.

    It goes on from what ships, or with all parts ``again``.
    """
    deadline = time.monotonic() + 60 * minutes
    folders = {folder.name: folder for folder in cases}
    parent: Checkpoint | None = None
    shipped = 0 if again else min(_shipped_part(network, commands), len(commands) - 1)
    for number, (command, part) in enumerate(zip(commands, PARTS[network], strict=True), start=1):
        out = WORKING / _out_of(command)
        if number < shipped:
            continue
        if number == shipped and not out.exists():
            shutil.copy(SHIPPED / f"{network}_compact.safetensors", out)  # the parts to come start from it
        left = (deadline - time.monotonic()) / 60
        if not out.exists() and left > 0:
            _run(command, folders, left, device)
        if not out.exists():
            print(f"{network}: to go on")
            return None
        made = checkpoint.read(out)
        if number != shipped:
            _refuse_another(made, part, parent)
        parent = made
    print(f"{network}: finished")
    return parent.path if parent else None


def _run(command: str, folders: Mapping[str, Path], minutes: float, device: str) -> None:
    """Run one command, gone on with where it was stopped, in the working folder."""
    words = shlex.split(command)
    for place, (before, word) in enumerate(zip(["", *words], words, strict=False)):
        if before == "--cases":
            words[place] = str(folders[word])
        elif before in ("--from", "--out"):
            words[place] = str(WORKING / word)
    limits = ["--resume", "--minutes", str(minutes), "--device", device]
    subprocess.run([sys.executable, "-m", "napari_covseg", *words[1:], *limits], check=True)


def _refuse_another(made: Checkpoint, part: Part, parent: Checkpoint | None) -> None:
    """Refuse what was left in the working folder by another command: it would ship as what it is not."""
    config = made.card.config
    told = (config.get("steps"), sorted(config.get("held_out", ())), made.card.parent_sha256)
    if told != (part.steps, sorted(part.hold_out), parent.sha256 if parent else ""):
        raise SystemExit(f"{made.path} was made by another command than is recorded; take it away and begin anew.")


def _out_of(command: str) -> str:
    return shlex.split(command)[-1]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, action="append", required=True, help="folders of cases, or a pack")
    parser.add_argument("--networks", nargs="+", default=list(available()), choices=available())
    parser.add_argument("--minutes", type=float, default=60.0, help="per network and call")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--again", action="store_true", help="also what ships already, from its first part")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
