"""A checkpoint's card, in its header and as a page."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_covseg.networks import Card, Checkpoint, checkpoint, load

BEGIN, END = "<!-- facts: begin -->", "<!-- facts: end -->"

DATA = (
    "MedSeg COVID-19 segmentation sets 1 (50 slices) and 2 (5 volumes), Coronacases CTs with the Zenodo 3757476 masks "
    "(394 slices of 7 patients), NSCLC-Radiomics with PleThora effusion masks (4 volumes)"
)

KNOWN_FAILURES = (
    "Few patients: at most four taught consolidation in whole volumes, and their HU were recovered from 8-bit windows.",
    "Consolidation and effusion are confused with each other, with atelectasis and with ground-glass at their borders.",
    "Nothing but COVID-19 and effusion was taught: tumour, pneumothorax and fibrosis are unknown to it.",
)

OWN_FAILURES = {
    "two_stream_segnet": ("What its first stage does not take for lung, its later stages never see.",),
    "chs_net": ("What its first stage does not take for lung, its second stage never sees.",),
}
"""What a network's design brings with it, however long it learned."""

POOR_DICE = 0.5
"""Below it more is wrong than right."""


def stamped(
    made: Checkpoint,
    commands: Sequence[str],
    repository: Path,
    cross_validated: Mapping[str, float],
    before: Checkpoint | None = None,
) -> Checkpoint:
    """Write into a checkpoint's header how it was made, on what, what that is worth, and where it fails.

    Of weights that everybody taught, what shipped before them tells most, if some patients were held out from it.
    """
    metrics = dict(made.card.metrics)
    if not metrics.get("held_out_pooled"):
        if cross_validated:
            metrics["cross_validated_pooled"] = dict(cross_validated)
        if before is not None and (sibling := _sibling(before, commands[0])):
            metrics["sibling"] = sibling
    card = made.card.model_copy(update={"metrics": metrics})
    found = {
        "command": "\n".join(commands),
        "commit": made.card.commit or _commit(repository),
        "data": DATA,
        "known_failures": (*_poorly_found(card), *OWN_FAILURES.get(made.card.network, ()), *KNOWN_FAILURES),
    }
    return checkpoint.save(checkpoint.revived(made), card.model_copy(update=found), made.path)


def _sibling(before: Checkpoint, command: str) -> Mapping[str, Any]:
    """Return what is to be told of a sibling that some patients were held out from; that of a sibling is handed on."""
    card = before.card
    if "held_out_pooled" not in card.metrics:
        found: Mapping[str, Any] = card.metrics.get("sibling", {})
        return found
    told = {name: card.metrics[name] for name in ("held_out", "held_out_pooled")}
    chose = bool(card.config.get("patience"))
    return {
        **told,
        "chose_the_step": chose,
        "sha256": before.sha256,
        "command": card.command or command,
        "commit": card.commit,
    }


def _commit(repository: Path) -> str:
    """Return the state of the code, of weights that do not say by which they were trained."""
    call = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


def _poorly_found(card: Card) -> list[str]:
    """Return a sentence for what they found badly, as far as that was measured."""
    measured = card.measured_dice.items()
    poor = [f"{name.removeprefix('dice_')} ({dice:.2f})" for name, dice in measured if dice < POOR_DICE]
    return [f"More wrong than right on patients it never saw, by Dice: {', '.join(poor)}."] if poor else []


def card_page(kept: Checkpoint, shipped: Path, before: str) -> str:
    """Return the page: the facts anew, the prose that somebody wrote around them as it was."""
    head, _, rest = before.partition(BEGIN)
    _, _, tail = rest.partition(END)
    title = f"# {load(kept.card.network).title}, {kept.card.width}: `{shipped.stem}`\n\n"
    return f"{head if BEGIN in before else title}{BEGIN}\n{_facts(kept, shipped)}\n{END}{tail or chr(10)}"


def _facts(kept: Checkpoint, shipped: Path) -> str:
    card, size_mb = kept.card, kept.path.stat().st_size / 1e6
    stages = ", ".join(stage.name for stage in load(card.network).stages)
    held_out = ", ".join(card.metrics.get("held_out", [])) or "nobody: everything was taught"
    rows = {
        "network": f"`{card.network}`, width `{card.width}`, {_parameters(kept)} parameters (stages: {stages})",
        "classes": ", ".join(card.scheme),
        "file": f"`napari_covseg/networks/weights/{shipped.name}`, {size_mb:.1f} MB",
        "sha256": f"`{kept.sha256}`",
        "data": card.data,
        "taught": card.trained_on,
        "terms": card.terms,
        "held out": held_out,
        "settings": ", ".join(f"{name} {value}" for name, value in card.config.items()),
        "code": f"{card.code_version}, commit `{card.commit[:12]}`, {card.created_utc}",
    }
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), "", "```", card.command]
    dice = card.measured_dice
    sibling = card.metrics.get("sibling")
    where = "on the held-out patients" if card.metrics.get("held_out_pooled") else "in cross-validation"
    where = "on a sibling" if sibling else where
    lines += ["```", "", f"## Measured {where}", ""]
    if dice:
        lines += [f"| {' | '.join(n.removeprefix('dice_') for n in dice)} |", f"|{'---|' * len(dice)}"]
        lines += [f"| {' | '.join(f'{value:.3f}' for value in dice.values())} |", "", "Dice over all their voxels."]
        if sibling:
            lines += [
                "Not of these very weights, which everybody taught, but of those that this command made, with",
                f"{', '.join(sibling['held_out'])} held out{_flattered(sibling.get('chose_the_step', False))}:",
                "",
                "```",
                sibling["command"],
                "```",
            ]
        elif card.metrics.get("held_out_pooled"):
            lines.append(f"On {held_out}{_flattered(bool(card.config.get('patience')))}.")
        else:
            lines.append("Of the same recipe, never of these very weights, which everybody taught: docs/results.md.")
    else:
        lines.append("Nothing: see docs/results.md for the cross-validation of the same recipe.")
    return "\n".join([*lines, "", "## Known failures", "", *(f"- {failure}" for failure in card.known_failures)])


def _flattered(they_chose: bool) -> str:
    return ", who chose its best step as well, which flatters a little" if they_chose else ""


def _parameters(kept: Checkpoint) -> str:
    return f"{sum(parameter.numel() for parameter in checkpoint.revived(kept).parameters()):,}".replace(",", " ")
