"""A checkpoint's card, in its header and as a page.

Run as a script it writes both anew for what ships, as cross-validation has measured it meanwhile; the weights stay.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fold_outcome import Outcome
from fold_outcome import kept as outcome_of
from results_page import joined, lesion_by_patient

from napari_covseg.measure import SCORED
from napari_covseg.networks import Card, Checkpoint, available, checkpoint, load, sums
from napari_covseg.networks.checkpoint import SHIPPED
from napari_covseg.networks.learned import Record, merged
from napari_covseg.training.folds import FOLDS

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "models"
OUTCOMES = Path(__file__).parent / "outcomes"

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

DIGITS = 6
"""Of what is kept; the page, which shows fewer, must not round what was rounded."""

POOR_DICE = 0.5
"""Below it more is wrong than right."""


def main() -> None:
    """Write the headers of what ships, where they said something else, and the pages."""
    shipped = [one for network in available() for one in checkpoint.known(network) if one.is_shipped]
    every = merged(*(one.card.learned for one in shipped))
    with TemporaryDirectory(dir=SHIPPED) as beside:
        for one in shipped:
            copy = checkpoint.read(Path(shutil.copy(one.path, beside)))
            copy = replace(copy, card=_recognising(copy.card, every))
            kept = stamped(copy, one.card.command.splitlines(), cross_validated(one.card.network))
            if kept.card == one.card:
                kept = one
            page = PAGES / f"{one.path.stem}.md"
            page.write_text(card_page(kept, one.path, page.read_text("utf-8")), "utf-8")
            kept.path.replace(one.path)
    sums.write_list(SHIPPED, "*.safetensors")


def _recognising(card: Card, every: Record) -> Card:
    """Return a card that knows its scans' slices by all fingerprints that any card has of the same voxels."""
    known = {scan: every[scan].slices_sha256 for scan in card.learned}
    learned = {scan: seen.model_copy(update={"slices_sha256": known[scan]}) for scan, seen in card.learned.items()}
    return card.model_copy(update={"learned": learned})


def cross_validated(network: str, outcomes: Path = OUTCOMES) -> Mapping[str, Any]:
    """Return a network's pooled Dice in the cross-validation that is kept, of how many patients, after how many steps.

    Of all folds, or nothing.
    """
    folds = _folds(network, outcomes)
    if not folds:
        return {}
    found = joined(folds)
    dice = {f"dice_{name}": scores["dice"] for name, scores in sorted(found.pooled().items())}
    by_patient = lesion_by_patient(found)
    return {
        "pooled": {name: round(value, DIGITS) for name, value in dice.items() if value is not None},
        "lesion_by_patient": {name: None if dice is None else round(dice, DIGITS) for name, dice in by_patient.items()},
        "patients": len(by_patient),
        "steps": min(fold.steps or 0 for fold in folds),
    }


def whose_voxels(network: str, patients: Sequence[str], outcomes: Path = OUTCOMES) -> str:
    """Return which of some patients has most of what is to be found of each class, and how much of it."""
    told = []
    for name in SCORED:
        voxels: Counter[str] = Counter()
        for case in (case for fold in _folds(network, outcomes) for case in fold.evaluation.cases):
            if case.patient in patients and name in case.classes:
                overlap = case.classes[name].overlap
                voxels[case.patient] += overlap.true_positive + overlap.false_negative
        if voxels.total():
            patient, most = voxels.most_common(1)[0]
            told.append(f"{name} {patient} ({most / voxels.total():.0%})")
    return ", ".join(told)


def _folds(network: str, outcomes: Path) -> list[Outcome]:
    """Return the kept outcomes of all folds, or none."""
    files = [outcomes / f"{network}_fold{fold}.json" for fold in range(1, FOLDS + 1)]
    return [outcome_of(file) for file in files] if all(file.exists() for file in files) else []


def stamped(
    made: Checkpoint,
    commands: Sequence[str],
    cross_validated: Mapping[str, Any],
    before: Checkpoint | None = None,
    parent: Checkpoint | None = None,
) -> Checkpoint:
    """Write into a checkpoint's header how it was made, on what, what that is worth, and where it fails.

    Of weights that everybody taught, what shipped before them tells most, if some patients were held out from it; few
    patients may be easy ones, so that the same recipe's cross-validation stands beside. ``commit`` has a line for every
    part, as ``command`` has; those of the earlier ones are the parent's.
    """
    metrics = {name: value for name, value in made.card.metrics.items() if name != "cross_validated"}
    if cross_validated:
        metrics["cross_validated"] = dict(cross_validated)
    if not metrics.get("held_out_pooled") and before is not None and (sibling := _sibling(before, commands[0])):
        metrics["sibling"] = sibling
    card = made.card.model_copy(update={"metrics": metrics})
    commits = [*(parent.card.commit.splitlines() if parent else ()), made.card.commit]
    found = {
        "command": "\n".join(commands),
        "commit": "\n".join(commits),
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


def _poorly_found(card: Card) -> list[str]:
    """Return sentences for what they found badly, as far as that was measured."""
    folds, sibling = card.metrics.get("cross_validated", {}), card.metrics.get("sibling", {})
    held_out = card.metrics.get("held_out") or sibling.get("held_out", ())
    told = []
    if held_out and (poor := _poor(card.measured_dice)):
        whom = f"whom {'it' if card.metrics.get('held_out') else measured_part(card)} never saw"
        told.append(f"More wrong than right on {', '.join(held_out)}, {whom}, by Dice: {poor}.")
    if folds and (poor := _poor(folds["pooled"])):
        told.append(f"More wrong than right in cross-validation, after {_steps(card)}, by Dice: {poor}.")
    return told


def measured_part(card: Card) -> str:
    """Return whose figures of held-out patients a card tells that has none of its own."""
    made_by = card.metrics["sibling"].get("command")
    return "its first part" if made_by in card.command.splitlines()[:1] else "a sibling"


def _draws_lungs(card: Card) -> bool:
    stages = load(card.network).stages
    return any(stage.target == "lung" or "lung" in stage.channels(card.scheme) for stage in stages)


def _steps(card: Card) -> str:
    """Return how long the networks of the folds learned."""
    has_lung_stage = any(stage.target == "lung" for stage in load(card.network).stages)
    halved = ", half as many for its lungs" if has_lung_stage else ""
    return f"{card.metrics['cross_validated']['steps']} steps a stage{halved}"


def _poor(measured: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name.removeprefix('dice_')} ({dice:.2f})" for name, dice in measured.items() if dice < POOR_DICE
    )


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
    last = " of the last part" if "\n" in card.command else ""
    commits = [f"`{commit[:12]}`" for commit in card.commit.splitlines()]
    each = ", a command each" if last and len(commits) == len(card.command.splitlines()) else ""
    rows = {
        "network": f"`{card.network}`, width `{card.width}`, {_parameters(kept)} parameters (stages: {stages})",
        "classes": ", ".join([*card.scheme, *(["lung"] if _draws_lungs(card) else [])]),
        "file": f"`napari_covseg/networks/weights/{shipped.name}`, {size_mb:.1f} MB",
        "sha256": f"`{kept.sha256}`",
        "data": card.data,
        "taught": card.trained_on,
        "terms": card.terms,
        "held out": held_out,
        "code": f"{card.code_version}, by commit {', '.join(commits)}{each}; {card.created_utc}",
    }
    lines = [*_table(rows), "", "```", card.command, "```", "", *_measured(card), *_in_turn(card)]
    lines += [f"## Settings{last}", "", *_table({name: _told(value) for name, value in card.config.items()}), ""]
    return "\n".join([*lines, "## Known failures", "", *(f"- {failure}" for failure in card.known_failures)])


def _table(rows: Mapping[str, str]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name.replace('_', ' ')} | {value} |" for name, value in rows.items())]


def _told(value: object) -> str:
    """Return a setting as a reader says it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    if value is None:
        return "as the device has it"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _measured(card: Card) -> list[str]:
    """Return what the held-out patients tell, of these weights or of those that they went on from."""
    sibling = card.metrics.get("sibling", {})
    whose = card.metrics if card.metrics.get("held_out_pooled") else sibling
    if not whose.get("held_out_pooled"):
        return []
    held_out = ", ".join(whose["held_out"])
    lines = [f"## Measured on {held_out}", "", *_dice(whose["held_out_pooled"]), ""]
    if told := whose_voxels(card.network, whose["held_out"]):
        lines += [f"Patients with most of the voxels to be found there: {told}.", ""]
    if whose is not sibling:
        return [*lines, f"They were held out{_flattered(bool(card.config.get('patience')))}.", ""]
    chosen = _flattered(sibling.get("chose_the_step", False))
    by = f"at commit `{commit[:12]}`" if (commit := sibling.get("commit", "")) else "by code that nobody recorded"
    return [
        *lines,
        f"Not of these very weights, which everybody taught, but of {measured_part(card)}, which this command made",
        f"{by}, with them held out{chosen}:",
        "",
        "```",
        sibling["command"],
        "```",
        "",
    ]


def _in_turn(card: Card) -> list[str]:
    """Return what cross-validation tells of the same recipe."""
    folds = card.metrics.get("cross_validated")
    if not folds:
        return ["Not measured in cross-validation.", ""]
    return [
        "## Cross-validated",
        "",
        *_dice(folds["pooled"]),
        "",
        f"Of the same recipe, never of these very weights: each of {folds['patients']} patients or sets with lesions",
        f"held out in turn, after {_steps(card)}. Any lesion, by patient:",
        "",
        f"| {' | '.join(folds['lesion_by_patient'])} |",
        f"|{'---|' * len(folds['lesion_by_patient'])}",
        f"| {' | '.join('–' if dice is None else f'{dice:.2f}' for dice in folds['lesion_by_patient'].values())} |",
        "",
        "More, and by which code, in docs/results.md; decision 7 tells how the teaching of lungs has changed since.",
        "",
    ]


def _dice(found: Mapping[str, float]) -> list[str]:
    return [
        f"| {' | '.join(name.removeprefix('dice_') for name in found)} |",
        f"|{'---|' * len(found)}",
        f"| {' | '.join(f'{value:.3f}' for value in found.values())} |",
        "",
        "Dice over all their voxels.",
    ]


def _flattered(they_chose: bool) -> str:
    return ", who chose its best step as well, which flatters a little" if they_chose else ""


def _parameters(kept: Checkpoint) -> str:
    return f"{sum(parameter.numel() for parameter in checkpoint.revived(kept).parameters()):,}".replace(",", " ")


if __name__ == "__main__":
    main()
