"""Train the weights that ship, in slices of time, and put what is finished where it belongs: ``make weights``.

Each network is trained by the command that this script writes into the model card. Run it again, with more minutes or
on a faster machine, and it goes on where it stopped; a network whose weights are shipped and were made by the same
command is left alone unless ``--again``. With ``--go-on`` a network starts from what ships of it, so that nothing
is learned twice: weights that were measured with some patients held out then learn from everybody.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from model_card import card_page, stamped

from napari_covseg.networks import Checkpoint, available, checkpoint, sums
from napari_covseg.networks.checkpoint import SHIPPED

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "docs" / "models"
WORKING = ROOT / ".cache" / "weights"

STEPS = {
    "masc_net": 6000,
    "covid_segnet": 8000,
    "chs_net": 4000,
    "two_stream_segnet": 5000,
    "res_att_unet": 6000,
}
"""Optimiser steps of every stage; a lung stage takes half."""

GONE_ON_WITH = 1e-3
"""Peak rate of what goes on: less than the recipe's, lest the first steps undo what is there."""

LARGEST_FILE_MB, LARGEST_SUM_MB = 5.0, 25.0


def main() -> int:
    """Train what is asked for, publish what is finished, print the table, and return the exit code."""
    words = _arguments()
    WORKING.mkdir(parents=True, exist_ok=True)
    failed = []
    for network in words.networks:
        steps = words.steps or STEPS[network]
        parent = _shipped(network) if words.go_on else None
        command = recorded_command(network, words.cases, steps, words.hold_out, parent)
        if not words.again and _is_shipped(network, command):
            continue
        try:
            is_finished = _trained(network, command, words.minutes, words.device)
        except subprocess.CalledProcessError:
            failed.append(network)  # it has said why; the others need not wait for it
            continue
        if is_finished:
            publish(
                WORKING / f"{network}_compact.safetensors", command, _cross_validated(words.cross_validated, network)
            )
    print(table())
    print(*(f"{network} failed; see above." for network in failed), sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


def recorded_command(
    network: str, cases: list[Path], steps: int, hold_out: list[str], parent: Checkpoint | None = None
) -> str:
    """Return the command that makes a network's weights, with the folders' bare names.

    Weights that start from others are made by several, a line for each: those of the parent, then their own.
    """
    words = ["covseg", "train", "--network", network, "--width", "compact", "--scheme", "lesions"]
    for folder in cases:
        words += ["--cases", folder.name]
    for patient in hold_out:
        words += ["--hold-out", patient]
    words += ["--steps", str(steps), "--seed", "0"]
    if parent is None:
        return shlex.join([*words, "--out", f"{network}_compact.safetensors"])
    before = parent.card.command.splitlines()
    words += ["--from", shlex.split(before[-1])[-1], "--learning-rate", str(GONE_ON_WITH)]
    return "\n".join([*before, shlex.join([*words, "--out", f"{network}_compact_{len(before) + 1}.safetensors"])])


def publish(made: Path, command: str, cross_validated: Mapping[str, float]) -> None:
    """Move finished weights into the package, stamped with how they were made, and write their card's page.

    Parameters
    ----------
    made
        The weights.
    command
        What made them.
    cross_validated
        Dice of the same recipe in cross-validation, as ``dice_<name>``; weights with held-out patients do without.

    Raises
    ------
    ValueError
        If the file, or all of them together, would be larger than allowed.
    """
    before = SHIPPED / made.name
    kept = stamped(
        checkpoint.read(made), command, ROOT, cross_validated, checkpoint.read(before) if before.exists() else None
    )
    others = [file for file in SHIPPED.glob("*.safetensors") if file.name != made.name]
    size_mb = made.stat().st_size / 1e6
    if size_mb > LARGEST_FILE_MB or size_mb + sum(f.stat().st_size for f in others) / 1e6 > LARGEST_SUM_MB:
        raise ValueError(f"{made.name} has {size_mb:.1f} MB; a file may have {LARGEST_FILE_MB}, all {LARGEST_SUM_MB}.")
    page = CARDS / f"{kept.name}.md"
    page.write_text(card_page(kept, page.read_text("utf-8") if page.exists() else ""), "utf-8")
    made.replace(SHIPPED / made.name)
    sums.write_list(SHIPPED, "*.safetensors")


def table() -> str:
    """Return what ships, one line per network."""
    lines = []
    for network in available():
        for one in checkpoint.known(network):
            if one.is_shipped:
                dice = one.card.measured_dice
                shown = ", ".join(f"{name.removeprefix('dice_')} {value:.3f}" for name, value in dice.items())
                lines.append(f"{one.name:32} {one.path.stat().st_size / 1e6:4.1f} MB  {shown or 'not measured'}")
    return "\n".join(lines)


def _cross_validated(file: Path | None, network: str) -> dict[str, float]:
    """Return what ``crossval.py --json`` found for a network."""
    found = json.loads(file.read_text("utf-8")) if file else {}
    scores = found.get(network, {}).get("pooled", {})
    return {f"dice_{name}": one["dice"] for name, one in sorted(scores.items()) if one["dice"] is not None}


def _shipped(network: str) -> Checkpoint:
    path = SHIPPED / f"{network}_compact.safetensors"
    if not path.exists():
        raise SystemExit(f"Nothing ships of {network} that could be gone on with; leave out --go-on.")
    return checkpoint.read(path)


def _is_shipped(network: str, command: str) -> bool:
    return any(one.is_shipped and one.card.command == command for one in checkpoint.known(network))


def _trained(network: str, command: str, minutes: float, device: str) -> bool:
    """Run a command for some minutes, gone on with where it stopped; return whether the weights are finished."""
    out = WORKING / f"{network}_compact.safetensors"
    folders = {folder.name: folder for folder in _arguments().cases}
    words = [
        str(folders[w]) if before == "--cases" else w for before, w in _pairs(shlex.split(command.splitlines()[-1]))
    ]
    words[words.index("--out") + 1] = str(out)
    if "--from" in words:
        words[words.index("--from") + 1] = str(_shipped(network).path)
    started = time.monotonic()
    call = [
        sys.executable,
        "-m",
        "napari_covseg",
        *words[1:],
        "--resume",
        "--minutes",
        str(minutes),
        "--device",
        device,
    ]
    subprocess.run(call, check=True)
    print(f"{network}: {(time.monotonic() - started) / 60:.1f} minutes, {'finished' if out.exists() else 'to go on'}")
    return out.exists()


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(zip(["", *words], words, strict=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, action="append", required=True, help="folders of cases, or a pack")
    parser.add_argument("--networks", nargs="+", default=list(available()))
    parser.add_argument("--minutes", type=float, default=60.0, help="per network and call")
    parser.add_argument("--steps", type=int, help="other than the recorded ones, for all networks")
    parser.add_argument("--hold-out", action="append", default=[], help="a patient kept for measuring")
    parser.add_argument("--cross-validated", type=Path, metavar="FILE", help="what crossval.py --json printed")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--go-on", action="store_true", help="from the weights that ship, as many steps more")
    parser.add_argument("--again", action="store_true", help="also what is shipped already")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
